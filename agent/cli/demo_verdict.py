"""Was the print exact? The virtual printer's ledger against the file, by rules of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

_MOVE = re.compile(r"\s*[GT]\d")
HOST_NUMBERS = 1_000_000
"""From here on a line number belongs to the host's own commands (parking, waiting for the end)."""


@dataclass(frozen=True, slots=True)
class DemoVerdict:
    """The demo's result; times in seconds as the clock showed them, starvation in milliseconds.

    `motion_s` is the time from the first to the last move without heating and homing, `ideal_s` what an endless supply
    of lines would have taken.
    """

    part: str
    job_state: str
    lines_in_file: int
    lines_executed: int
    exact: bool
    difference: str
    resends: int
    starved_ms: float
    starvations: int
    duration_s: float
    motion_s: float
    ideal_s: float


def judge(
    part: Path, ledger: Path, summary: Mapping[str, Any], receipt: Mapping[str, Any], job: Mapping[str, Any]
) -> DemoVerdict:
    """Compare every command of the file with every numbered command the printer executed, in order."""
    wanted = commands_of(part.read_text(encoding="latin-1").splitlines())
    executed = list(executed_of(ledger))
    difference = first_difference(wanted, executed) or fragments_of(ledger)
    completed = job.get("state") == "completed"
    prints = [entry for entry in summary.get("prints", []) if entry["base"] < HOST_NUMBERS]
    printed: Mapping[str, Any] = prints[-1] if prints else {}
    return DemoVerdict(
        part=part.name,
        job_state=str(job.get("state")),
        lines_in_file=len(wanted),
        lines_executed=len(executed),
        exact=completed and not difference,
        difference=difference if difference or completed else f"the job is {job.get('state')}",
        resends=int(receipt.get("stats", {}).get("resends", 0)),
        starved_ms=float(printed.get("starvation_ms", 0.0)),
        starvations=int(printed.get("starvation_events", 0)),
        duration_s=float(receipt.get("duration_s", 0.0)),
        motion_s=float(printed.get("actual_s", 0.0)) - float(printed.get("standing_s", 0.0)),
        ideal_s=float(printed.get("ideal_s", 0.0)),
    )


def commands_of(lines: Iterable[str]) -> list[str]:
    """The commands of a G-code file: what is left of each line without its comment."""
    stripped = (line.split(";", 1)[0].strip() for line in lines)
    return [line for line in stripped if line]


def executed_of(ledger: Path) -> Iterator[str]:
    """The commands the printer executed under a line number."""
    with ledger.open(encoding="utf-8") as file:
        for text in file:
            entry = json.loads(text)
            if entry.get("src") == "job" and entry["n"] < HOST_NUMBERS:
                yield entry["cmd"]


def fragments_of(ledger: Path) -> str:
    """Name the first move without a line number: the rest of a line that lost its head. Empty when there is none."""
    with ledger.open(encoding="utf-8") as file:
        for text in file:
            entry = json.loads(text)
            if "cmd" in entry and entry["n"] is None and _MOVE.match(entry["cmd"]):
                return f"{entry['cmd']!r} was executed without a line number"
    return ""


def first_difference(wanted: list[str], executed: list[str]) -> str:
    """Name the first place where the two differ; empty when they are equal."""
    for number, (ours, theirs) in enumerate(zip_longest(wanted, executed), 1):
        if ours != theirs:
            return f"command {number} is {ours!r} in the file and {theirs!r} at the printer"
    return ""
