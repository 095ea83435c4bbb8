"""The lines between us and the firmware: what was sent, what was acknowledged, what may be sent next.

Indices count the lines of a session from 1. `sent` and `acked` are the indices of the last such line; `verified` is the
last line the firmware itself named as accepted. Everything after `verified` is kept, so that any legitimate resend can
be answered. `furthest` is the highest line ever sent: after a step back the firmware may turn out to have accepted
more than `sent`. `unsettled` lines are accepted although their oks were not seen: they may still wait in the firmware's
queue, so they take room.
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
        self.furthest = 0
        self.unsettled = 0
        self._unsettled_bytes = 0
        self._chunks: deque[Chunk] = deque()
        self.near: Chunk | None = (
            None  # the last one looked up: the next look-up is almost always for it again
        )
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
        self.near = None
        self.sent = self.acked = self.verified = self.furthest = self._last = index
        self.settled()

    def push(self, chunk: Chunk) -> None:
        """Append the next lines of the session."""
        if chunk.first != self._last + 1:
            msg = f"chunk starts at line {chunk.first}, expected {self._last + 1}"
            raise ValueError(msg)
        self._chunks.append(chunk)
        self._last = chunk.last

    def acknowledge(self, count: int) -> int:
        """Count `count` oks; returns how many had no line to belong to: those are of unsettled lines."""
        spare = count - (self.sent - self.acked)
        if spare > 0:
            self.acked = self.sent
            left = max(0, self.unsettled - spare)
            self._unsettled_bytes = self._unsettled_bytes * left // self.unsettled if left else 0
            self.unsettled = left
            return spare
        self.acked += count
        return 0

    def settled(self) -> None:
        """No ok of an earlier line can come any more."""
        self.unsettled = self._unsettled_bytes = 0

    def resume_after(self, index: int, *, oks: int = 0) -> None:
        """The firmware itself named `index` as its last accepted line: go on behind it, nothing in flight.

        `oks` is how many oks of accepted lines came while sending had stopped.
        """
        late = min(index, self.furthest) - self.acked - oks
        if late > 0:
            self.unsettled += late
            self._unsettled_bytes += self._bytes_between(index - late, index)
        self.sent = self.acked = self.verified = index
        chunks = self._chunks
        self.near = None
        while chunks and chunks[0].last <= index - self._keep:
            chunks.popleft()

    def reaches_back_to(self, index: int) -> bool:
        """Whether line `index + 1` is still at hand although it was verified."""
        oldest = self._chunks[0].first if self._chunks else self._last + 1
        return oldest <= index + 1 and self.verified - self._keep <= index

    def current(self) -> Chunk | None:
        """The chunk of the oldest unacknowledged line, if it is on the wire."""
        return self._find(self.acked + 1) if self.in_flight else None

    @property
    def barrier_is_next(self) -> bool:
        """Whether the next line to be sent is one that is sent alone."""
        chunk = self._find(self.sent + 1)
        return chunk is not None and chunk.barrier

    def is_asking_temperatures(self) -> bool:
        """Whether the oldest unacknowledged line is itself an `M105`."""
        chunk = self.current()
        if chunk is None:
            return False
        at = self.acked + 1 - chunk.first
        return b"M105" in chunk.data[chunk.ends[at] : chunk.ends[at + 1]]

    def take(self) -> bytes:
        """The bytes that may go out now; they count as sent."""
        out = b""
        while True:
            chunk = self._find(self.sent + 1)
            if chunk is None or (chunk.barrier and self.in_flight) or self._behind_barrier(chunk):
                return out
            part = self._slice(chunk)
            if not part:
                return out
            out = out + part if out else part
            if self.sent < chunk.last:  # the window is full
                return out

    def _slice(self, chunk: Chunk) -> bytes:
        """As much of one chunk as the window has room for."""
        ends = chunk.ends
        sent, acked = self.sent, self.acked
        begin = sent + 1 - chunk.first
        in_flight = sent - acked
        end = min(begin + self.size.lines - in_flight - self.unsettled, chunk.count)
        if end > begin:
            limit = ends[begin] + self.size.bytes - self._unsettled_bytes
            limit -= self._bytes_between(acked, sent)
            if ends[end] > limit:
                end = bisect_right(ends, limit, begin, end) - 1
        if end <= begin:
            if in_flight:
                return b""
            end = begin + 1  # one line is always allowed, however long
        self.sent = sent = sent + end - begin
        self.furthest = max(self.furthest, sent)
        return chunk.data[ends[begin] : ends[end]]

    def _bytes_between(self, after: int, upto: int) -> int:
        """Size of the lines `after + 1` to `upto`, as far as they are at hand."""
        if after >= upto:
            return 0
        near = self.near
        if near is not None and near.first <= after + 1 and upto <= near.last:
            return near.ends[upto + 1 - near.first] - near.ends[after + 1 - near.first]
        total = 0
        for chunk in self._chunks:
            if chunk.last <= after:
                continue
            if chunk.first > upto:
                break
            begin = max(after + 1, chunk.first) - chunk.first
            end = min(upto, chunk.last) + 1 - chunk.first
            total += chunk.ends[end] - chunk.ends[begin]
        return total

    def _behind_barrier(self, following: Chunk) -> bool:
        """Whether the last line sent stands alone and is not over; `following` is the chunk of the next line."""
        if self.sent == self.acked or self.sent >= following.first:
            return False
        chunk = self._find(self.sent)
        return chunk is not None and chunk.barrier

    def _find(self, index: int) -> Chunk | None:
        near = self.near
        if near is not None and near.first <= index <= near.last:
            return near
        for chunk in self._chunks:
            if index <= chunk.last:
                if index < chunk.first:
                    return None
                self.near = chunk
                return chunk
        return None
