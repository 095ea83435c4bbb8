"""The receiving half of the board: receive ring, line buffer and comment rules.

A paced wire fills the ring whether anyone reads or not: what does not fit is lost. An unpaced (USB-like) port holds
bytes back instead. The line rules are Marlin's: CR and LF both end a line, `;` starts a comment, a backslash escapes,
a backspace erases, and what exceeds the line buffer is dropped up to the line end.
"""

from __future__ import annotations

_RAW_LIMIT_BYTES = 4096  # of one unfinished line; far beyond what any line buffer keeps


class Receiver:
    """Ring and line buffer. Feed with `arrive` (paced) or `offer` (held back), read with `next_line`."""

    def __init__(self, ring_bytes: int, max_line_bytes: int | None) -> None:
        self._capacity = ring_bytes - 1  # one place of a ring always stays free
        self._max_line = max_line_bytes or _RAW_LIMIT_BYTES
        self._ring = b""
        self._at = 0
        self._partial = b""
        self._held = b""  # USB-like: what the host's side still keeps
        self.lost_bytes = 0

    def arrive(self, data: bytes, *, stalled: bool) -> int:
        """Bytes came off the wire. `stalled`: nobody read meanwhile, so the ring can overflow. Returns bytes lost."""
        ring = self._ring[self._at :] if self._at else self._ring
        self._at = 0
        room = max(0, self._capacity - len(ring)) if stalled else len(data)
        self._ring = ring + data[:room]
        lost = max(0, len(data) - room)
        self.lost_bytes += lost
        return lost

    def offer(self, data: bytes) -> bytes:
        """A port with back-pressure: takes what fits, holds the rest, and returns the bytes that entered the ring."""
        if data:
            self._held += data
        if not self._held:
            return b""
        room = self._capacity - len(self._ring) + self._at
        if room <= 0:
            return b""
        taken, self._held = self._held[:room], self._held[room:]
        self._ring = self._ring[self._at :] + taken
        self._at = 0
        return taken

    @property
    def held_bytes(self) -> int:
        """Bytes that wait on the host's side for room in the ring."""
        return len(self._held)

    @property
    def waiting_bytes(self) -> int:
        """Bytes in the ring."""
        return len(self._ring) - self._at

    def next_line(self) -> bytes | None:
        """The next complete line, cleaned (may be empty); None when the ring holds none. Reading frees the ring."""
        end = self._ring.find(b"\n", self._at)
        if end < 0:
            if self._at < len(self._ring):
                self._partial = (self._partial + self._ring[self._at :])[:_RAW_LIMIT_BYTES]
                self._ring, self._at = b"", 0
            return None
        line = self._ring[self._at : end]
        self._at = end + 1
        if self._partial:
            line, self._partial = self._partial + line, b""
        if len(line) > self._max_line or b";" in line or b"\\" in line or b"\b" in line or b"\0" in line:
            line = self._clean(line)
        return line

    def _clean(self, raw: bytes) -> bytes:
        kept = bytearray()
        escaped = False
        for byte in raw:
            if len(kept) >= self._max_line:
                break
            if not escaped and byte == 0x5C:
                escaped = True
                continue
            if not escaped and byte == 0x3B:
                break
            escaped = False
            if byte == 0x08:
                del kept[-1:]
            else:
                kept.append(byte)
        if not kept:
            return b""
        text = bytes(kept).split(b"\0", 1)[0]  # the rest of the firmware sees a C string
        return text or b" "  # not an empty line, but a line with nothing in it

    def throw_away(self) -> int:
        """A line was rejected: everything in the ring and the half line are lost. Returns the number of bytes."""
        lost = len(self._ring) - self._at + len(self._partial)
        self._ring, self._at, self._partial = b"", 0, b""
        return lost

    def drop_held(self) -> None:
        """The cable was pulled: what the host's side still kept is gone."""
        self._held = b""

    def clear(self) -> None:
        """The board was reset: nothing is kept on either side."""
        self.throw_away()
        self._held = b""
