"""The newest log entries: in memory for `fabunit logs`, and in a file of bounded size."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# About 0.5 MiB of memory at the usual 300 to 500 bytes per entry.
RING_ENTRIES = 1000
# Three files of 1 MiB: weeks of a calm unit, and nothing that fills a card.
FILE_BYTES = 1 << 20
FILES_KEPT = 3

LogEntry = dict[str, Any]


class LogRing:
    """The last `capacity` entries, each numbered with `seq` from 1. Safe from any thread."""

    def __init__(self, capacity: int = RING_ENTRIES) -> None:
        self._lock = threading.Lock()
        self._entries: deque[LogEntry] = deque(maxlen=capacity)
        self._next_seq = 1

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; the oldest falls out when the ring is full."""
        with self._lock:
            self._entries.append({**entry, "seq": self._next_seq})
            self._next_seq += 1

    def tail(self, n: int) -> list[LogEntry]:
        """Return the last n entries, oldest first."""
        with self._lock:
            skipped = max(0, len(self._entries) - max(0, n))
            return list(itertools.islice(self._entries, skipped, None))

    def after(self, seq: int, limit: int) -> list[LogEntry]:
        """Return at most `limit` entries newer than `seq`, oldest first."""
        with self._lock:
            newer = min(len(self._entries), max(0, self._next_seq - 1 - seq))
            first = len(self._entries) - newer
            return list(itertools.islice(self._entries, first, first + limit))


class RotatingFile:
    """Lines in `path`, moved to `path.1` … when full. Safe from any thread.

    A disk that refuses stops the file, not the daemon: `failure` then says why; the next line tries again.
    """

    def __init__(self, path: Path, *, limit_bytes: int = FILE_BYTES, kept: int = FILES_KEPT) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._limit_bytes = limit_bytes
        self._kept = kept
        self.failure = ""

    def write(self, line: str) -> None:
        """Append one line."""
        data = line.encode(errors="replace") + b"\n"
        with self._lock:
            try:
                self._append(data)
                self.failure = ""
            except OSError as error:
                self.failure = str(error)

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if self._size() + len(data) > self._limit_bytes:
            self._rotate()
        # Opened for each line: entries are rare, and a file moved away by other tools is no trouble.
        with self._path.open("ab") as file:
            file.write(data)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _rotate(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)
        if self._kept == 1:
            self._path.unlink(missing_ok=True)
