"""The lines between us and the firmware: what was sent, what was acknowledged, what may be sent next.

Indices count the lines of a session from 1. `sent` and `acked` are the indices of the last such line; `verified` is the
last line the firmware itself named as accepted. Everything after `verified` is kept, so that any legitimate resend can
be answered.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from agent.printer.framing import Chunk


@dataclass(frozen=True, slots=True)
class WindowSize:
    """How much may be unacknowledged at once."""

    lines: int
    bytes: int


class SendWindow:
    """Sliding window over chunks; pure bookkeeping."""

    def __init__(self, size: WindowSize, keep: int = 0) -> None:
        """`keep` is how many verified lines stay available, for a firmware that may go back on its own."""
        self.size = size
        self._keep = keep
        self.sent = 0
        self.acked = 0
        self.verified = 0
        self._chunks: deque[Chunk] = deque()
        self._last = 0  # index of the last line pushed

    @property
    def in_flight(self) -> int:
        """Lines sent and not acknowledged."""
        return self.sent - self.acked

    @property
    def backlog(self) -> int:
        """Lines pushed and not sent."""
        return self._last - self.sent

    @property
    def last(self) -> int:
        """Index of the last line pushed."""
        return self._last

    def start_at(self, index: int) -> None:
        """Begin with line `index + 1`; everything up to `index` counts as accepted."""
        self._chunks.clear()
        self.sent = self.acked = self.verified = self._last = index

    def push(self, chunk: Chunk) -> None:
        """Append the next lines of the session."""
        if chunk.first != self._last + 1:
            msg = f"chunk starts at line {chunk.first}, expected {self._last + 1}"
            raise ValueError(msg)
        self._chunks.append(chunk)
        self._last += chunk.count

    def acknowledge(self, count: int) -> int:
        """Count `count` oks; returns how many had no line to belong to."""
        spare = count - (self.sent - self.acked)
        if spare > 0:
            self.acked = self.sent
            return spare
        self.acked += count
        return 0

    def resume_after(self, index: int, *, sure: bool) -> None:
        """Go on with line `index + 1`, nothing in flight; `sure` makes `index` the new verified line."""
        self.sent = self.acked = index
        if sure:
            self.confirm(index)

    def confirm(self, index: int) -> None:
        """The firmware itself named `index` as accepted."""
        self.verified = index
        chunks = self._chunks
        while chunks and chunks[0].first + chunks[0].count - 1 <= index - self._keep:
            chunks.popleft()

    def reaches_back_to(self, index: int) -> bool:
        """Whether line `index + 1` is still at hand although it was verified."""
        oldest = self._chunks[0].first if self._chunks else self._last + 1
        return oldest <= index + 1 and self.verified - self._keep <= index

    def current(self) -> Chunk | None:
        """The chunk of the oldest unacknowledged line, if it is on the wire."""
        return self._find(self.acked + 1) if self.in_flight else None

    def take(self) -> bytes:
        """The bytes that may go out now; they count as sent."""
        out: list[bytes] = []
        while True:
            chunk = self._find(self.sent + 1)
            if chunk is None or (chunk.barrier and self.in_flight) or self._behind_barrier():
                break
            part = self._slice(chunk)
            if not part:
                break
            out.append(part)
        return b"".join(out)

    def _slice(self, chunk: Chunk) -> bytes:
        """As much of one chunk as the window has room for."""
        ends = chunk.ends
        begin = self.sent + 1 - chunk.first
        in_flight = self.sent - self.acked
        end = min(begin + self.size.lines - in_flight, chunk.count)
        limit = ends[begin] + self.size.bytes - self._bytes_in_flight()
        if end > begin and ends[end] > limit:
            end = bisect_right(ends, limit, begin, end) - 1
        if end <= begin:
            if in_flight:
                return b""
            end = begin + 1  # one line is always allowed, however long
        self.sent += end - begin
        return chunk.data[ends[begin] : ends[end]]

    def _bytes_in_flight(self) -> int:
        total = 0
        index = self.acked + 1
        for chunk in self._chunks:
            behind = chunk.first + chunk.count
            if behind <= index:
                continue
            if chunk.first > self.sent:
                break
            begin = max(index, chunk.first) - chunk.first
            end = min(self.sent + 1, behind) - chunk.first
            total += chunk.ends[end] - chunk.ends[begin]
        return total

    def _behind_barrier(self) -> bool:
        if self.sent == self.acked:
            return False
        chunk = self._find(self.sent)
        return chunk is not None and chunk.barrier

    def _find(self, index: int) -> Chunk | None:
        for chunk in self._chunks:
            if index < chunk.first + chunk.count:
                return chunk if index >= chunk.first else None
        return None
