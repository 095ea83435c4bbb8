"""The serial wire: bytes take their time in both directions.

All instants are seconds on the caller's clock. At 0 baud bytes arrive at once and the receiving side can hold them
back, as on a native USB port.
"""

from __future__ import annotations

from collections import deque
from math import inf

BITS_PER_BYTE = 10  # start bit, eight data bits, stop bit


class ReceiveWire:
    """Host to board. `put` bytes when the host wrote them, `due` gives those that have arrived."""

    def __init__(self, baud: int) -> None:
        self.byte_s = BITS_PER_BYTE / baud if baud else 0.0
        self._segments: deque[tuple[bytes, float]] = (
            deque()
        )  # bytes, instant at which their first bit started
        self._sent = 0  # bytes of the first segment already handed out
        self._free_at = -inf
        self._line_end: float | None = None  # arrival of the next line end, when known

    def put(self, data: bytes, now: float) -> None:
        """The host wrote `data` at `now`; it queues behind what is still on the wire."""
        start = max(now, self._free_at)
        self._segments.append((data, start))
        self._free_at = start + len(data) * self.byte_s
        if self._line_end is None:
            at = data.find(b"\n")
            if at >= 0:
                self._line_end = start + (at + 1) * self.byte_s

    def due(self, now: float) -> bytes:
        """All bytes whose stop bit has passed by `now`, in order."""
        if not self._segments:
            return b""
        parts = []
        while self._segments:
            data, start = self._segments[0]
            # the tiny addition keeps a byte that is due exactly now from being lost to rounding
            count = len(data) if not self.byte_s else min(len(data), int((now - start) / self.byte_s + 1e-6))
            if count > self._sent:
                parts.append(data[self._sent : count])
                self._sent = count
            if count < len(data):
                break
            self._segments.popleft()
            self._sent = 0
        if self._line_end is not None and parts:
            self._line_end = self._find_line_end()
        return b"".join(parts)

    def _find_line_end(self) -> float | None:
        offset = self._sent
        for data, start in self._segments:
            at = data.find(b"\n", offset)
            if at >= 0:
                return start + (at + 1) * self.byte_s
            offset = 0
        return None

    def next_line_end(self) -> float | None:
        """When the next line end arrives; None when none is under way."""
        return self._line_end

    def backlog_bytes(self, now: float) -> int:
        """Bytes the host has written that have not arrived by `now`."""
        return max(0, round((self._free_at - now) / self.byte_s)) if self.byte_s and self._segments else 0

    def clear(self) -> None:
        """Lose everything under way (cable pulled)."""
        self._segments.clear()
        self._sent = 0
        self._line_end = None
        self._free_at = -inf


class TransmitWire:
    """Board to host, with an optional delay on top of the pacing."""

    def __init__(self, baud: int, latency_s: float = 0.0) -> None:
        self._byte_s = BITS_PER_BYTE / baud if baud else 0.0
        self._latency_s = latency_s
        self._immediate = not self._byte_s and not latency_s
        self._ready = bytearray()
        self._segments: deque[tuple[bytes, float]] = deque()
        self._sent = 0
        self._free_at = -inf

    def put(self, data: bytes, now: float) -> None:
        """The board wrote `data` at `now`."""
        if self._immediate:
            self._ready += data
            return
        start = max(now + self._latency_s, self._free_at)
        self._segments.append((data, start))
        self._free_at = start + len(data) * self._byte_s

    def take(self, now: float) -> bytes:
        """Bytes that have left the wire on the host's side by `now`."""
        while self._segments:
            data, start = self._segments[0]
            if start > now:
                break
            count = (
                len(data) if not self._byte_s else min(len(data), int((now - start) / self._byte_s + 1e-6))
            )
            self._ready += data[self._sent : count]
            if count < len(data):
                self._sent = count
                break
            self._segments.popleft()
            self._sent = 0
        if not self._ready:
            return b""
        out = bytes(self._ready)
        self._ready.clear()
        return out

    def next_end(self) -> float | None:
        """When the message under way has completely arrived; None when the wire is quiet."""
        if self._ready:
            return -inf
        if not self._segments:
            return None
        data, start = self._segments[0]
        return start + len(data) * self._byte_s

    def clear(self) -> None:
        """Lose everything under way."""
        self._ready.clear()
        self._segments.clear()
        self._sent = 0
        self._free_at = -inf
