"""The feeder: reads the prepared file ahead of the wire, so that a slow SD card never reaches it.

Its own thread; everything crosses through one bounded queue of framed chunks.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent.domain.artefact import Prepared
from agent.gcode.modal import ModalState, fold_chunk
from agent.printer.blocking import is_blocking
from agent.printer.framing import Chunk, build_chunk

CHUNK_LINES = 256
LOOK_AHEAD_CHUNKS = 16
"""4,096 lines: many seconds of printing, some 300 kB of memory."""
BLOCK_BYTES = 64 * 1024
POLL_S = 0.5
"""How often a full queue looks whether it was closed."""


@dataclass(frozen=True, slots=True)
class Fed:
    """A framed chunk and the byte offset in the prepared file at which its first line begins."""

    chunk: Chunk
    offset: int


@dataclass(frozen=True, slots=True)
class EndOfFile:
    """All lines were handed over; `sha256` is the digest of what was read (None after a start in the middle)."""

    lines: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class FeedFailed:
    """The file could not be read to its end."""

    detail: str


class Feeder:
    """Feeds one prepared file from line `at + 1` on. `take` belongs to the printer thread."""

    def __init__(
        self, path: Path, prepared: Prepared, base: int | None, at: int, wake: Callable[[], None]
    ) -> None:
        self._path = path
        self._prepared = prepared
        self._base = base
        self._at = at
        self._wake = wake
        self._queue: queue.Queue[Fed | EndOfFile | FeedFailed] = queue.Queue(LOOK_AHEAD_CHUNKS)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        """Begin to read ahead."""
        self._thread.start()

    def take(self) -> Fed | EndOfFile | FeedFailed | None:
        """The next chunk, the end, a failure, or None when nothing is ready yet."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop reading; returns at once."""
        self._closed.set()

    def _run(self) -> None:
        try:
            with self._path.open("rb") as file:
                self._feed(file)
        except (OSError, ValueError) as error:
            self._put(FeedFailed(f"{self._path.name}: {error}"))

    def _feed(self, file: BinaryIO) -> None:
        size = os.fstat(file.fileno()).st_size
        if size != self._prepared.size:
            msg = f"has {size} bytes, {self._prepared.size} were checked"
            raise ValueError(msg)
        digest = hashlib.sha256() if self._at == 0 else None
        line, offset = seek_line(file, self._prepared, self._at)
        for lines in read_lines(file):
            if digest is not None:
                digest.update(b"\n".join(lines) + b"\n")
            for part, barrier in split_at_blocking(lines):
                chunk = build_chunk(line + 1, self._base, part, barrier=barrier)
                if not self._put(Fed(chunk, offset)):
                    return
                line += len(part)
                offset += sum(map(len, part)) + len(part)
        if line != self._prepared.lines:
            msg = f"ends after line {line}, {self._prepared.lines} were checked"
            raise ValueError(msg)
        self._put(EndOfFile(line, digest.hexdigest() if digest else None))

    def _put(self, item: Fed | EndOfFile | FeedFailed) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            self._wake()
            return True
        return False


def seek_line(file: BinaryIO, prepared: Prepared, line: int) -> tuple[int, int]:
    """Position `file` behind line `line`; returns the line and the byte offset.

    Raises ValueError when the file has fewer lines.
    """
    step = prepared.offset_step
    mark = min(line // step, len(prepared.offsets) - 1) if prepared.offsets else 0
    offset = prepared.offsets[mark] if prepared.offsets else 0
    file.seek(offset)
    for at in range(mark * step, line):
        text = file.readline()
        if not text:
            msg = f"has {at} lines, line {line + 1} was asked for"
            raise ValueError(msg)
        offset += len(text)
    return line, offset


def read_lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """Runs of up to CHUNK_LINES whole lines, without their line ends. Raises ValueError for half a line."""
    rest = b""
    while block := file.read(BLOCK_BYTES):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for begin in range(0, len(lines), CHUNK_LINES):
            yield lines[begin : begin + CHUNK_LINES]
    if rest:
        msg = "ends in the middle of a line"
        raise ValueError(msg)


def modal_at(path: Path, line: int, start: ModalState) -> ModalState:
    """The modes a firmware has after the first `line` prepared lines of a file."""
    state = start
    with path.open("rb") as file:
        for lines in read_lines(file):
            part = lines[:line]
            state = fold_chunk(state, b"\n".join(part))
            line -= len(part)
            if line <= 0:
                break
    return state


def split_at_blocking(lines: list[bytes]) -> Iterator[tuple[list[bytes], bool]]:
    """Cut a run so that each blocking command stands alone."""
    begin = 0
    for index, line in enumerate(lines):
        if line[:3] not in _PLAIN and is_blocking(line):
            if index > begin:
                yield lines[begin:index], False
            yield [line], True
            begin = index + 1
    if begin < len(lines):
        yield lines[begin:], False


_PLAIN = (b"G1 ", b"G0 ")
