"""Seeded faults of the line: damaged lines in either direction, lost bytes, lost and doubled `ok`s.

Each fault draws how many lines pass until it next strikes, so that lines between strikes cost almost nothing and a
seed gives the same strikes however the bytes were cut into reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log1p
from random import Random


@dataclass(frozen=True, slots=True)
class LineFaults:
    """Probabilities per line, 0 to 1."""

    flip_in: float = 0.0  # one bit of a line from the host is wrong
    drop_bytes_in: float = 0.0  # one byte of a line from the host is missing
    flip_out: float = 0.0  # one bit of a line to the host is wrong
    drop_bytes_out: float = 0.0  # one byte of a line to the host is missing
    drop_ok: float = 0.0  # an ok is not sent
    double_ok: float = 0.0  # an ok is sent twice


class Strikes:
    """Strikes with probability `p` per line."""

    def __init__(self, p: float, seed: str) -> None:
        self._p = p
        self.random = Random(seed)  # noqa: S311 - reproducible faults, not secrets
        self._left: float = self._draw()

    def _draw(self) -> float:
        if self._p <= 0.0:
            return inf
        if self._p >= 1.0:
            return 0
        lines = log1p(-self.random.random()) / log1p(-self._p)
        return int(lines) if lines < 1e15 else inf

    def next(self) -> bool:
        """Whether the next line is struck."""
        if self._left > 0:
            self._left -= 1
            return False
        self._left = self._draw()
        return True

    def among(self, lines: int) -> list[int]:
        """Which of the next `lines` lines are struck."""
        if self._left >= lines:
            self._left -= lines
            return []
        return [k for k in range(lines) if self.next()]


class FaultyLine:
    """Applies `LineFaults`. Counts what it did in `strikes_in` and `strikes_out`."""

    def __init__(self, faults: LineFaults, seed: int) -> None:
        self._flip_in = Strikes(faults.flip_in, f"{seed}/flip-in")
        self._drop_in = Strikes(faults.drop_bytes_in, f"{seed}/drop-in")
        self._flip_out = Strikes(faults.flip_out, f"{seed}/flip-out")
        self._drop_out = Strikes(faults.drop_bytes_out, f"{seed}/drop-out")
        self._drop_ok = Strikes(faults.drop_ok, f"{seed}/drop-ok")
        self._double_ok = Strikes(faults.double_ok, f"{seed}/double-ok")
        self._quiet_in = not (faults.flip_in or faults.drop_bytes_in)
        self.quiet_out = not (faults.flip_out or faults.drop_bytes_out or faults.drop_ok or faults.double_ok)
        self.strikes_in = 0
        self.strikes_out = 0
        self.dropped_oks = 0
        self.doubled_oks = 0

    def inbound(self, data: bytes) -> bytes:
        """What arrives of bytes that the host wrote."""
        if self._quiet_in:
            return data
        lines = data.count(b"\n")
        flips, drops = self._flip_in.among(lines), self._drop_in.among(lines)
        if not flips and not drops:
            return data
        parts = data.splitlines(keepends=True)
        for k in flips:
            parts[k] = flip_bit(parts[k], self._flip_in.random)
        for k in drops:
            parts[k] = drop_byte(parts[k], self._drop_in.random)
        self.strikes_in += len(flips) + len(drops)
        return b"".join(parts)

    def outbound(self, line: bytes) -> bytes:
        """What leaves the board of one line (with its line end)."""
        if line.startswith(b"ok"):
            if self._drop_ok.next():
                self.dropped_oks += 1
                return b""
            if self._double_ok.next():
                self.doubled_oks += 1
                line += line
        if self._flip_out.next():
            self.strikes_out += 1
            line = flip_bit(line, self._flip_out.random)
        if self._drop_out.next():
            self.strikes_out += 1
            line = drop_byte(line, self._drop_out.random)
        return line


def flip_bit(line: bytes, random: Random) -> bytes:
    """`line` with one bit inverted."""
    at = random.randrange(len(line)) if line else 0
    return line[:at] + bytes((line[at] ^ (1 << random.randrange(8)),)) + line[at + 1 :] if line else line


def drop_byte(line: bytes, random: Random) -> bytes:
    """`line` without one of its bytes."""
    at = random.randrange(len(line)) if line else 0
    return line[:at] + line[at + 1 :]
