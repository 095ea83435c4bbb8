"""The emergency parser: commands taken from the byte stream as it arrives, ahead of ring, slots and planner.

Rules of Marlin's `e_parser`: a word counts at its line end, with or without an `N` prefix, whatever follows it
and whatever its checksum says.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(rb" *(?:N[-0-9 ]*)?M *(?:(108|112|410)|876 *S *(\d))")
_KEPT_BYTES = 64  # every word of interest ends within the first bytes of its line


class Emergency(NamedTuple):
    """One word: 108, 112, 410 or 876, and the answer digit of M876."""

    code: int
    answer: int


class EmergencyScanner:
    """Finds emergency words in received bytes. Line ends must be LF already."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> list[Emergency]:
        """Words whose line ended in `data`."""
        if b"M" not in data and b"M" not in self._tail:
            end = data.rfind(b"\n")
            rest = self._tail + data if end < 0 else data[end + 1 :]
            self._tail = rest[:_KEPT_BYTES]
            return []
        *lines, rest = (self._tail + data).split(b"\n")
        self._tail = rest[:_KEPT_BYTES]
        found = []
        for line in lines:
            match = _WORD.match(line)
            if match:
                code, answer = match.groups()
                found.append(Emergency(int(code or 876), int(answer or 0)))
        return found

    def reset(self) -> None:
        """Forget a half line (the board was reset)."""
        self._tail = b""
