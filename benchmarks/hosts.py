"""Print hosts under measurement, all driven the same way: started on a port, told to print a file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from benchmarks.bench_unit import BenchUnit
from benchmarks.board import FastBoard, Figures, moves_crc

STALL_LIMIT_S = 300.0
"""No job of these benchmarks takes a third of it."""


@dataclass(frozen=True, slots=True)
class Window:
    """Most lines and bytes in flight."""

    lines: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.lines} lines, {self.bytes:,} bytes"


CAREFUL = Window(4, 120)
"""What every board takes, and the daemon's default: four command slots, a 128-byte receive ring."""
MIDDLE = Window(16, 1000)
WIDE = Window(64, 4000)
"""The widest a profile may allow; for boards with native USB, which hold the host back instead of losing bytes."""


class Host(Protocol):
    """A running host that is connected to the board. A context manager: leaving it ends the process."""

    @property
    def pid(self) -> int:
        """The process whose CPU time counts."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def begin(self, part: Path) -> None:
        """Start to print the file; returns without waiting for the end."""
        ...

    def finish(self) -> None:
        """Wait until the host itself says that the print is over. Raises RuntimeError when it failed."""
        ...


HostMaker = Callable[[str], Host]
"""From the port's path to a connected host."""


class Fabunit:
    """The daemon as its own process; the file goes in through the control socket, so it is checked first."""

    def __init__(self, port: str, window: Window | None = None, *, launcher: tuple[str, ...] = ()) -> None:
        size = (window.lines, window.bytes) if window else None
        self.unit = BenchUnit(port, window=size, launcher=launcher)
        self._job = ""

    @property
    def pid(self) -> int:
        return self.unit.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unit.__exit__()

    def begin(self, part: Path) -> None:
        with part.open("rb") as file:
            size = part.stat().st_size
            document = self.unit.client.upload("/v1/jobs", file, size, name=part.name)
        self._job = str(document["job_id"])

    def finish(self) -> None:
        job = self.unit.wait_for_end(self._job)
        if job["state"] != "completed":
            raise RuntimeError(f"the job is {job['state']}: {job['detail']}")


class Bare:
    """`bare_loop.py`: the reference."""

    def __init__(self, port: str, part: Path, window: Window) -> None:
        command = [sys.executable, "-m", "benchmarks.bare_loop", port, str(part)]
        command += ["--lines", str(window.lines), "--bytes", str(window.bytes)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, part: Path) -> None:
        del part  # it was named when the process was started
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        if self._process.wait(STALL_LIMIT_S):
            raise RuntimeError("the bare loop has failed")


def measure(part: Path, make: HostMaker, **board: float | bool) -> Figures:
    """Print one file on a fresh board with a fresh host. Raises RuntimeError unless every move arrived once."""
    with FastBoard(**board) as printer, make(printer.port) as host:
        return print_on(printer, host, part)


def print_on(printer: FastBoard, host: Host, part: Path) -> Figures:
    """Print one file with a connected host. Raises RuntimeError unless every move arrived once, in order."""
    moves, crc = moves_crc(part)
    printer.expect(moves, watch=host.pid)
    host.begin(part)
    figures = printer.done(STALL_LIMIT_S)
    host.finish()
    if figures.crc != crc:
        raise RuntimeError(f"{type(host).__name__} did not deliver the file's moves exactly: {figures}")
    return figures
