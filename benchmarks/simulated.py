"""The daemon against the virtual printer: real acceleration, look-ahead and buffers instead of fixed times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from benchmarks.bench_unit import moves_file
from benchmarks.hosts import Fabunit
from benchmarks.report import Table, load_average
from benchmarks.throughput import Scale


class VirtualPrinter:
    """`fabunit simulate` as a process; `statistics` after it has ended."""

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        self.port = str(folder / "port")
        self._stats = folder / "stats.json"
        command = [
            sys.executable,
            "-m",
            "agent.sim",
            "--json",
            "--link",
            self.port,
            "--stats",
            str(self._stats),
        ]
        self._process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def statistics(self) -> dict[str, Any]:
        """What it counted; it must have ended."""
        document: dict[str, Any] = json.loads(self._stats.read_text())
        return document


CASES: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("motion at 10,000 times life: its own speed is the limit", ("--speed", "10000"), 20_000),
    ("motion at 5 times life", ("--speed", "5"), 3000),
    ("motion at 20 times life", ("--speed", "20"), 6000),
    ("motion at 5 times life, 250,000 baud", ("--speed", "5", "--baud", "250000"), 3000),
)


LEAST_MOTION_S = 1.0
"""Less motion than that says nothing about supply: the model itself is then the limit."""


def virtual_printer(folder: Path, scale: Scale) -> Table:
    """Lines a second and starvation with a firmware model that plans real moves."""
    table = Table(
        "Against the virtual printer",
        [
            ("case", "case", ""),
            ("lines", "lines", ",d"),
            ("lines_per_s", "lines/s", ",.0f"),
            ("stretch", "time over that of endless supply", ".4f"),
            ("starved", "planner dry, times", ",d"),
            ("starved_ms", "dry in all, ms", ",.1f"),
            ("load", "load average", ""),
        ],
        "`fabunit simulate` with its own acceleration and look-ahead, window as the daemon chooses.",
    )
    for case, options, full in CASES:
        load = load_average()
        part = moves_file(folder, scale.moves(full))
        with VirtualPrinter(folder, options) as printer, Fabunit(printer.port) as host:
            host.begin(part)
            host.finish()
        record = max(printer.statistics()["prints"], key=lambda print_: int(print_["lines"]))
        table.add(
            case=case,
            lines=record["lines"],
            lines_per_s=record["lines"] / record["actual_s"] if record["actual_s"] else None,
            stretch=record["actual_s"] / record["ideal_s"] if record["ideal_s"] > LEAST_MOTION_S else None,
            starved=record["starvation_events"],
            starved_ms=record["starvation_ms"],
            load=load,
        )
    return table
