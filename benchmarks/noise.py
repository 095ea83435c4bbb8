"""What noise costs: the same long file over a clean line and over one with wrong bits, each compared with the ledger.

Run by hand: `python -m benchmarks.noise`. Both prints run on the virtual printer, one after the other; the figure is
their ratio. Ends with 1 when a print was not exact.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.cli.demo_verdict import commands_of, executed_of, first_difference, fragments_of
from benchmarks.bench_unit import BenchUnit, moves_file
from benchmarks.chaos import Printer


@dataclass(frozen=True, slots=True)
class Run:
    """One print: `streamed_s` from the first line to the last, `difference` empty when it was exact."""

    streamed_s: float
    resends: int
    timeouts: int
    difference: str


def main() -> None:
    """Print both and show them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=20_000)
    parser.add_argument(
        "--bits", type=float, default=0.01, help="share of lines with a wrong bit, in each direction"
    )
    parser.add_argument("--baud", type=int, default=115_200)
    options = parser.parse_args()
    wire = ("--baud", str(options.baud))
    noise = ("--flip-in", str(options.bits), "--flip-out", str(options.bits))
    print(f"{options.moves} moves at {options.baud} baud")
    print("| line | streamed in, s | moves/s | sent again | questions | exact |\n|---|---|---|---|---|---|")
    runs = {}
    for name, faults in (("clean", wire), (f"{options.bits:.1%} wrong bits each way", (*wire, *noise))):
        run = runs[name] = one_print(options.moves, faults)
        rate = options.moves / run.streamed_s
        verdict = "yes" if not run.difference else f"NO: {run.difference}"
        print(
            f"| {name} | {run.streamed_s:.1f} | {rate:.0f} | {run.resends} | {run.timeouts} | {verdict} |",
            flush=True,
        )
    clean, noisy = runs.values()
    print(f"\nthroughput under noise: {clean.streamed_s / noisy.streamed_s:.0%} of the clean line's")
    sys.exit(1 if clean.difference or noisy.difference else 0)


def one_print(moves: int, faults: tuple[str, ...]) -> Run:
    """Print a file of so many moves on a printer fast enough never to be the limit."""
    with tempfile.TemporaryDirectory(prefix="fabunit-noise-") as name:
        folder = Path(name)
        part = moves_file(folder, moves)
        printer = Printer(folder, faults, 1000.0, 1)
        with BenchUnit(str(printer.port)) as unit:
            job = unit.print_file(part)
            prints = unit.client.get("/v1/prints")["prints"]
            receipt = unit.client.get(f"/v1/prints/{prints[0]['print_id']}/receipt")["receipt"]
        printer.tell("stats")
        printer.end()
        stats = receipt["stats"]
        difference = first_difference(
            commands_of(part.read_text().splitlines()), list(executed_of(printer.ledger))
        )
        if job["state"] != "completed":
            difference = f"the job is {job['state']}: {job['detail']}"
        return Run(
            float(receipt["duration_s"]),
            int(stats.get("resends", 0)),
            int(stats.get("timeouts", 0)),
            difference or fragments_of(printer.ledger),
        )


if __name__ == "__main__":
    main()
