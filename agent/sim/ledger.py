"""The ledger: one JSON object per line for every command executed and every event.

Command: {"i": running number, "t": seconds since power-on, "n": line number or null, "cmd": text, "src": "job"|"host"}.
Event: {"event": name, "t": seconds, ...}. Text that is no UTF-8 is kept byte for byte as lone surrogates.
"""

from __future__ import annotations

import json
import os
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

FLUSH_BYTES = 32768  # written out at once beyond this; below, whenever the owner is idle


class Entry(NamedTuple):
    """One executed command. `src` is "job" for numbered lines other than M110, else "host"."""

    i: int
    t: float
    n: int | None
    cmd: str
    src: str


class Ledger:
    """Collects lines and writes them to a file. Without a path it only keeps the events in `events`."""

    def __init__(self, path: Path | None = None, *, keep_events: bool = True) -> None:
        self._keep_events = keep_events
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) if path else -1
        self._lines: list[str] = []
        self._size = 0
        self.events: list[dict[str, object]] = []  # kept only without a file

    def command(self, entry: Entry) -> None:
        """An executed command."""
        if self._file < 0:
            return
        number = "null" if entry.n is None else str(entry.n)
        self._add(
            f'{{"i":{entry.i},"t":{entry.t:.6f},"n":{number},"cmd":{encode_basestring_ascii(entry.cmd)},'
            f'"src":"{entry.src}"}}\n'
        )

    def event(self, name: str, t: float, **details: object) -> None:
        """Something that happened at `t` seconds."""
        record: dict[str, object] = {"event": name, "t": round(t, 6), **details}
        if self._file < 0:
            if self._keep_events:
                self.events.append(record)
        else:
            self._add(json.dumps(record, separators=(",", ":")) + "\n")

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()

    @property
    def pending(self) -> bool:
        """Whether something is not yet written."""
        return bool(self._lines)

    def flush(self) -> None:
        """Hand everything to the kernel."""
        if self._lines:
            data = "".join(self._lines).encode("ascii")
            self._lines.clear()
            self._size = 0
            while data:
                data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
