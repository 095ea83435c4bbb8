"""Chaos: real prints through real processes, with noise, lost oks, killed daemons and pulled cables.

Each round picks faults and moments from a seed, prints a file, and compares the virtual printer's ledger with it. Run
by hand: `python -m benchmarks.chaos --rounds 20 --kills 10`. Ends with 1 at the first print that was not exact.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.cli.demo_verdict import commands_of, executed_of, first_difference, fragments_of
from agent.domain.errors import FabunitError
from benchmarks.bench_unit import BenchUnit, moves_file

ENDED = ("completed", "failed", "cancelled", "rejected")
BEFORE = {"received", "verifying", "ready"}
NOISE = (
    (),
    ("--flip-in", "0.001", "--flip-out", "0.001"),
    ("--flip-in", "0.01", "--flip-out", "0.01"),
    ("--flip-in", "0.03", "--flip-out", "0.03"),
    ("--drop-ok", "0.01", "--double-ok", "0.01"),
    ("--drop-bytes", "0.01", "--drop-bytes-out", "0.01"),
    ("--latency-ms", "8", "--drop-ok", "0.002"),
    ("--baud", "115200", "--flip-in", "0.01"),
    ("--baud", "250000", "--drop-ok", "0.01", "--flip-out", "0.01"),
    ("--advanced-ok", "--flip-in", "0.01", "--drop-ok", "0.01"),
)


@dataclass
class Tally:
    """What all rounds together have seen."""

    prints: int = 0
    kills: int = 0
    pulls: int = 0
    resends: int = 0
    gaps_s: list[float] = field(default_factory=list)


class Printer:
    """The virtual printer as a process with a control socket."""

    def __init__(self, folder: Path, options: tuple[str, ...], speed: float, seed: int) -> None:
        self.port = folder / "port"
        self.ledger = folder / "ledger.jsonl"
        self._control = folder / "control"
        command = [
            sys.executable,
            "-m",
            "agent.sim",
            "--link",
            str(self.port),
            "--speed",
            str(speed),
            "--json",
        ]
        command += [
            "--ledger",
            str(self.ledger),
            "--control",
            str(self._control),
            "--seed",
            str(seed),
            *options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def tell(self, word: str) -> str:
        """One word to the control socket; its answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(30)
            connection.connect(str(self._control))
            connection.sendall(word.encode() + b"\n")
            return connection.makefile().readline()

    def job_lines(self) -> int:
        """Numbered commands executed so far."""
        return int(json.loads(self.tell("stats"))["job_lines"])

    def end(self) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.wait()


def main() -> None:
    """Run the rounds and print what they showed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=len(NOISE))
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    parser.add_argument("--kills", type=int, default=5, help="kills of the daemon per print")
    parser.add_argument("--pulls", type=int, default=1, help="pulled cables per print")
    parser.add_argument("--moves", type=int, default=4000)
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = Tally()
    for number in range(options.first - 1, options.first - 1 + options.rounds):
        rng = random.Random(options.seed * 1000 + number)
        noise = NOISE[number % len(NOISE)]
        began = time.monotonic()
        difference = one_print(options, noise, rng, tally)
        took_s = time.monotonic() - began
        verdict = "exact" if not difference else f"NOT EXACT: {difference}"
        print(f"round {number + 1}: {' '.join(noise) or 'clean'}: {verdict}, {took_s:.0f} s", flush=True)
        if difference:
            sys.exit(1)
    gaps = sorted(tally.gaps_s)
    median, worst = (statistics.median(gaps), gaps[-1]) if gaps else (0.0, 0.0)
    print(
        f"{tally.prints} prints exact; {tally.kills} kills, {tally.pulls} pulled cables, "
        f"{tally.resends} lines sent again; from a kill to the next line {median:.2f} s median, {worst:.2f} s at most"
    )


def one_print(options: argparse.Namespace, noise: tuple[str, ...], rng: random.Random, tally: Tally) -> str:
    """Print one file under faults; where the ledger differs from the file, else an empty string."""
    with tempfile.TemporaryDirectory(prefix="fabunit-chaos-") as name:
        folder = Path(name)
        part = moves_file(folder, options.moves)
        printer = Printer(folder, noise, options.speed, rng.randrange(1 << 30))
        moments = ["kill"] * options.kills + ["pull"] * options.pulls
        rng.shuffle(moments)
        with BenchUnit(str(printer.port)) as unit:
            with part.open("rb") as file:
                job = unit.client.upload("/v1/jobs", file, part.stat().st_size, name=part.name)["job_id"]
            for moment in moments:
                strike(moment, unit, printer, rng, tally)
            unit.until(lambda: unit.client.get(f"/v1/jobs/{job}")["state"] in ENDED)
            document = unit.client.get(f"/v1/jobs/{job}")
            prints = unit.client.get("/v1/prints")["prints"]
            receipt = unit.client.get(f"/v1/prints/{prints[0]['print_id']}/receipt")["receipt"]
            tally.resends += int(receipt["stats"].get("resends", 0))
        printer.tell("stats")
        printer.end()
        tally.prints += 1
        if document["state"] != "completed":
            return f"the job is {document['state']}: {document['detail']}"
        wanted = commands_of(part.read_text().splitlines())
        return first_difference(wanted, list(executed_of(printer.ledger))) or fragments_of(printer.ledger)


def states(unit: BenchUnit) -> set[str]:
    """The states of the unfinished jobs; empty while nobody answers."""
    with contextlib.suppress(FabunitError):
        return {job["state"] for job in unit.client.get("/v1/jobs")["jobs"]}
    return set()


def strike(moment: str, unit: BenchUnit, printer: Printer, rng: random.Random, tally: Tally) -> None:
    """Wait for a random moment of the print, then kill the daemon or pull the cable; nothing once it is over."""
    unit.until(lambda: not states(unit) & BEFORE)
    time.sleep(rng.uniform(0.05, 1.5))
    if "printing" not in states(unit):
        return
    if moment == "pull":
        printer.tell("unplug")
        time.sleep(rng.uniform(0.0, 0.5))
        printer.tell("replug")
        tally.pulls += 1
        return
    before = printer.job_lines()
    unit.kill()
    killed = time.monotonic()
    unit.start_again()
    tally.kills += 1
    while printer.job_lines() <= before + 8 and unit.state_or_none() in (
        None,
        "printing",
        "connecting",
        "offline",
    ):
        time.sleep(0.01)
        if time.monotonic() - killed > 60:
            return
    tally.gaps_s.append(time.monotonic() - killed)


if __name__ == "__main__":
    main()
