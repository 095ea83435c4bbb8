"""What a trial of the system knows: the machine, the packages, the virtual printer and its ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.rig import HOST_NUMBERS, commands, spiral
from tests.system.machine import Machine, StepError

UNIT = "fabunit@mk3s"
PORT = "/run/printer/port"
MOVES = 4000
LONG_MOVES = 5 * MOVES
"""For a print that surely lasts longer than an upgrade."""
SPEED = 20


@dataclass(slots=True)
class Trial:
    """The machine, the packages, and what was seen so far."""

    machine: Machine
    first: Path
    second: Path
    slicer: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    before: set[str] = field(default_factory=set)
    seen_entries: int = 0

    def note(self, step: str, what: str) -> None:
        """Remember one line of the summary."""
        self.lines.append((step, what))
        print(f"{step}: {what}", flush=True)

    def pid(self) -> int:
        """The daemon's process id inside."""
        return int(self.machine.ask(f"systemctl show -P MainPID {UNIT}") or 0)

    def is_active(self) -> bool:
        """The service runs and answers."""
        return self.state() != ""

    def state(self) -> str:
        """The printer's state as the daemon tells it; "" while there is no daemon."""
        said = self.machine.ask("fabunit status --json")
        try:
            return str(json.loads(said)["printer"]["state"])
        except (ValueError, KeyError):
            return ""

    def start_print(self, seed: int, moves: int = MOVES) -> tuple[str, str]:
        """Queue a part; returns the job's id and the part."""
        part = spiral(moves, heat=False, seed=seed)
        self.machine.run("fabunit bed clear", code=None)
        (self.machine.root / "root/part.gcode").write_text(part)
        self.seen_entries = len(self.entries())
        job = self.machine.json("fabunit print /root/part.gcode --json")["jobs"][0]["job_id"]
        return str(job), part

    def entries(self) -> list[dict[str, object]]:
        """The virtual printer's ledger so far."""
        self.machine.run(_TELL_STATS, code=None)
        text = self.machine.run("cat /run/printer/ledger.jsonl")
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def executed(self) -> list[object]:
        """Commands of the present print that the printer has executed."""
        new = self.entries()[self.seen_entries :]
        return [e["cmd"] for e in new if "cmd" in e and e["src"] == "job" and int(str(e["n"])) < HOST_NUMBERS]

    def until_executed(self, count: int) -> None:
        """Wait until the print has come so far."""
        self.machine.until(lambda: len(self.executed()) > count, f"{count} lines of the print are executed")

    def demand_exact(self, job: str, part: str) -> str:
        """Wait for the end of a print, and compare."""

        def is_over() -> bool:
            said = self.machine.ask(f"fabunit job show {job} --json")
            return '"completed"' in said or '"failed"' in said

        self.machine.until(is_over, f"job {job} is over")
        state = self.machine.json(f"fabunit job show {job} --json")["state"]
        wanted, got = commands(part), self.executed()
        if state != "completed" or got != wanted:
            raise StepError(
                f"the print is {state}, {len(got)} of {len(wanted)} commands, equal: {got == wanted}"
            )
        return f"{len(got)} commands, all equal"


_TELL_STATS = (
    "/opt/fabunit/current/bin/python -c 'import socket; s=socket.socket(socket.AF_UNIX); s.settimeout(5); "
    's.connect("/run/printer/ctl"); s.sendall(b"stats\\n"); s.recv(9)\''
)
