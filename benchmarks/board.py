"""The fast board (`fast_board.c`) as a process: built on first use, driven over its standard input and output."""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import shutil
import subprocess
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
SOURCES = ("fast_board.c", "job_figures.h", "board_options.h")
FLAGS = ("-O2", "-Wall", "-Wextra")
BITS_PER_BYTE = 10
"""8N1: start bit, eight data bits, stop bit."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the board counted between the first and the last move of a job, both included.

    `cpu_s`: user and system time of the watched process. `gap_ms`: percentiles of the time from an ok that was handed
    to the host until bytes came. `lost`: lines that did not fit into the receive ring.
    """

    moves: int
    seconds: float
    cpu_s: float
    bytes: int
    crc: int
    refused: int
    lost: int
    other_lines: int
    starved: int
    starved_ms: float
    gaps: int
    gap_ms: dict[str, float]

    @property
    def lines_per_s(self) -> float:
        """Moves a second."""
        return (self.moves - 1) / self.seconds if self.seconds else 0.0

    @property
    def cpu_per_10k_s(self) -> float:
        """CPU seconds of the host for 10,000 moves."""
        return self.cpu_s / self.moves * 10_000

    def wire_share(self, baud: int) -> float:
        """Received bits over the capacity of the wire, 0 to 1."""
        return self.bytes * BITS_PER_BYTE / (self.seconds * baud) if self.seconds else 0.0


def figures_of(document: dict[str, Any]) -> Figures:
    """The board's JSON document, checked for its names."""
    return Figures(**{name: document[name] for name in Figures.__slots__})


def moves_crc(part: Path) -> tuple[int, int]:
    """How many moves (G0, G1) a file has, and the CRC-32 that the board must report for them."""
    crc = moves = 0
    with part.open("rb") as file:
        for line in file:
            if line.startswith((b"G1 ", b"G0 ")):
                moves += 1
                crc = zlib.crc32(line.partition(b";")[0].strip() + b"\n", crc)
    return moves, crc


def build(cache: Path | None = None) -> Path:
    """Compile the board unless this version of it is there already. Raises SystemExit without a C compiler."""
    cache = cache or cache_dir()
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in SOURCES)).hexdigest()[:12]
    binary = cache / f"fast_board-{digest}"
    if binary.exists():
        return binary
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("these benchmarks need a C compiler for their printer: apt install gcc libc6-dev")
    cache.mkdir(parents=True, exist_ok=True)
    fresh = cache / f"{binary.name}.{os.getpid()}"
    subprocess.run([compiler, *FLAGS, "-o", str(fresh), str(HERE / SOURCES[0])], check=True)
    fresh.replace(binary)
    return binary


def cache_dir() -> Path:
    """Where compiled boards and the peers' environments live."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fabunit-bench"


class FastBoard:
    """One board behind its own pseudo-terminal. `settings` are the options of `fast_board.c` without their dashes."""

    def __init__(self, **settings: float | bool) -> None:
        self._process = subprocess.Popen(
            [str(build()), *_options(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._rest = b""
        ready = self._event("ready", 10.0)
        self.port = str(ready["port"])
        self.realtime = bool(ready["realtime"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._process.wait(10)
        self._selector.close()
        self._out.close()

    def expect(self, moves: int, *, watch: int) -> None:
        """Begin to count a job of so many moves, and the CPU time of process `watch`."""
        self._tell(f"watch {watch}")
        self._tell(f"job {moves}")

    def done(self, limit_s: float = 600.0) -> Figures:
        """Wait for the last move. Raises TimeoutError with the figures so far."""
        try:
            return figures_of(self._event("done", limit_s))
        except TimeoutError:
            raise TimeoutError(f"not done after {limit_s:.0f} s: {self.now()}") from None

    def now(self) -> Figures:
        """The figures so far."""
        self._tell("stats")
        return figures_of(self._event("stats", 10.0))

    def reopened(self, limit_s: float = 60.0) -> float:
        """Wait for the first move behind a newly opened port; its time (monotonic seconds)."""
        return float(self._event("reopened", limit_s)["t"])

    def cpu_s(self) -> float:
        """User and system seconds of the board itself so far."""
        return process_cpu_s(self._process.pid)

    def _tell(self, words: str) -> None:
        self._in.write(words.encode() + b"\n")
        self._in.flush()

    def _event(self, name: str, limit_s: float) -> dict[str, Any]:
        """The next event of this name; others are dropped."""
        end = time.monotonic() + limit_s
        while True:
            line, mark, rest = self._rest.partition(b"\n")
            if mark:
                self._rest = rest
                document: dict[str, Any] = json.loads(line)
                if document["event"] == name:
                    return document
            elif not self._selector.select(max(0.0, end - time.monotonic())):
                raise TimeoutError(f"the board said nothing of {name!r} in {limit_s:.0f} s")
            elif not (data := os.read(self._out.fileno(), 65536)):
                raise RuntimeError("the board has ended")
            else:
                self._rest += data


def process_cpu_s(pid: int) -> float:
    """User and system seconds of a running process and all its threads so far, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | 2)  # the kernel's name for "CPU clock of process pid"


def _options(settings: dict[str, float | bool]) -> list[str]:
    words: list[str] = []
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not False:
            words += [flag, str(value)]
    return words
