"""What crossed the wire lately: a ring of raw blocks, split into lines only when somebody reads."""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

DEFAULT_LIMIT_BYTES = 1024 * 1024
"""About 12,000 lines with their answers, a few minutes of printing; 2 % of the daemon's memory budget."""

_PAGE_BYTES = 64 * 1024
_BLOCK = struct.Struct("<dHB")  # monotonic seconds, length, direction
_MAX_BLOCK = 0xFFFF
_MAX_TAIL = 4096  # a line longer than this is cut: no firmware sends one
_SENT, _RECEIVED, _NOTE = b">"[0], b"<"[0], b"!"[0]
_pack = _BLOCK.pack


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """One line. `direction`: `>` sent, `<` received, `!` a remark of ours. `t_s`: monotonic, its begin."""

    t_s: float
    direction: str
    text: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the transcript. Opaque: get one from `since`, give it to `since`."""

    position: int = 0
    tails: tuple[tuple[int, float, bytes], ...] = ()


class Transcript:
    """Bounded by bytes, overhead included. Safe for one or more writers and readers in any thread."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        """Keep the last `limit_bytes` (at least two pages of 64 KiB)."""
        self._page_count = max(1, limit_bytes // _PAGE_BYTES - 1)
        self._pages: deque[bytes] = deque()
        self._page = bytearray()
        self._dropped = 0  # bytes that fell out of the ring
        self._lock = threading.Lock()

    def sent(self, data: bytes, t_s: float) -> None:
        """Record bytes written to the port."""
        self._append(_SENT, data, t_s)

    def received(self, data: bytes, t_s: float) -> None:
        """Record bytes read from the port."""
        self._append(_RECEIVED, data, t_s)

    def exchanged(self, received: bytes, sent: bytes, t_s: float) -> None:
        """Record bytes read and the bytes written in answer: both at once, because they come by the ten thousands."""
        if len(received) > _MAX_BLOCK or len(sent) > _MAX_BLOCK:
            self._append(_RECEIVED, received, t_s)
            self._append(_SENT, sent, t_s)
            return
        block = _pack(t_s, len(received), _RECEIVED) + received
        if sent:
            block += _pack(t_s, len(sent), _SENT) + sent
        with self._lock:
            page = self._page
            page += block
            if len(page) >= _PAGE_BYTES:
                self._turn()

    def note(self, text: str, t_s: float) -> None:
        """Record a remark: what the host noticed or decided."""
        self._append(_NOTE, text.replace("\n", " ").encode() + b"\n", t_s)

    def _append(self, direction: int, data: bytes, t_s: float) -> None:
        size = len(data)
        if size > _MAX_BLOCK:
            for start in range(0, size, _MAX_BLOCK):
                self._append(direction, data[start : start + _MAX_BLOCK], t_s)
            return
        with self._lock:
            page = self._page
            page += _pack(t_s, size, direction) + data
            if len(page) >= _PAGE_BYTES:
                self._turn()

    def _turn(self) -> None:
        self._pages.append(bytes(self._page))
        self._page = bytearray()
        while len(self._pages) > self._page_count:
            self._dropped += len(self._pages.popleft())

    def tail(self, count: int) -> list[TranscriptEntry]:
        """Return the last `count` complete lines, oldest first."""
        if count <= 0:
            return []
        pages = 1
        while True:
            lines, whole = self._read_last(pages)
            if whole or len(lines) >= count:
                return lines[-count:]
            pages *= 2

    def _read_last(self, count: int) -> tuple[list[TranscriptEntry], bool]:
        """Read the last `count` pages; True when those are all. A line cut by their beginning is left out."""
        with self._lock:
            pages = [*self._pages, bytes(self._page)]
        whole = count >= len(pages)
        cut = set() if whole else {_SENT, _RECEIVED}
        lines: list[TranscriptEntry] = []
        tails: dict[int, tuple[float, bytes]] = {}
        for page in pages[-count:]:
            _split(page, 0, tails, lines, cut)
        return lines, whole

    def end(self) -> Cursor:
        """Return the place behind the last block: what comes later is `since` it."""
        with self._lock:
            return Cursor(self._end())

    def since(self, cursor: Cursor) -> tuple[list[TranscriptEntry], Cursor]:
        """Return the complete lines behind `cursor` and the cursor for the next call.

        When lines fell out of the ring in between, the first entry says so.
        """
        lines, after = self._read(cursor)
        return list(lines), after

    def dump(self) -> Iterator[str]:
        """Yield everything kept, one text line per entry: seconds, direction, text."""
        for entry in self._read(Cursor())[0]:
            yield f"{entry.t_s:.3f} {entry.direction} {entry.text}"

    def _end(self) -> int:
        return self._dropped + sum(map(len, self._pages)) + len(self._page)

    def _read(self, cursor: Cursor) -> tuple[list[TranscriptEntry], Cursor]:
        with self._lock:
            pages = [*self._pages, bytes(self._page)]
            start = self._dropped
            end = self._end()
        lines: list[TranscriptEntry] = []
        tails = {direction: (t_s, tail) for direction, t_s, tail in cursor.tails}
        position = min(cursor.position, end)
        if position < start:
            if position:
                lines.append(TranscriptEntry(0.0, "!", f"{start - position} bytes of older traffic are gone"))
            position, tails = start, {}
        for page in pages:
            if position < start + len(page):
                _split(page, position - start, tails, lines, set())
                position = start + len(page)
            start += len(page)
        kept = tuple((direction, t_s, tail) for direction, (t_s, tail) in tails.items() if tail)
        return lines, Cursor(end, kept)


def _split(
    page: bytes,
    offset: int,
    tails: dict[int, tuple[float, bytes]],
    lines: list[TranscriptEntry],
    cut: set[int],
) -> None:
    """Walk the blocks of one page from `offset` on; a line may span blocks and pages.

    `cut` names the directions whose first line has lost its beginning: it is left out.
    """
    while offset < len(page):
        t_s, size, direction = _BLOCK.unpack_from(page, offset)
        offset += _BLOCK.size
        block = page[offset : offset + size]
        offset += size
        began_s, tail = tails.get(direction, (t_s, b""))
        whole, newline, rest = block.rpartition(b"\n")
        if not newline:
            tails[direction] = (began_s if tail else t_s, (tail + block)[-_MAX_TAIL:])
            continue
        for line in (tail + whole).split(b"\n"):
            if direction in cut:
                cut.discard(direction)
            else:
                lines.append(TranscriptEntry(began_s if tail else t_s, chr(direction), _readable(line)))
            tail = b""
        tails[direction] = (t_s, rest[-_MAX_TAIL:])


def _readable(line: bytes) -> str:
    text = line.rstrip(b"\r").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
