"""Recognises runs of plain motion lines, as slicers write them, at the speed of the regex engine.

A plain line is `G92 E0` (or `E0.0`), or `G0`/`G1` with single blanks, capital letters in the order F X Y Z E F, plain
decimals, and X, Y, Z inside the printable volume. It is safe by its shape alone; all others take the slow path.
"""

from __future__ import annotations

import re
import sys

from agent.domain.profile import PrinterProfile

# Possessive: what matched is never given back, which saves time and memory. Before Python 3.11.5 such a group that
# fails in the middle forgets to go back to its beginning, and half a line passes as plain; Bookworm has 3.11.2.
_KEPT = "+" if sys.version_info >= (3, 11, 5) else ""
# `G1` and six parameters of these widths stay below the 82 bytes that a command may have.
_FRACTION = rf"(?:\.\d{{0,5}})?{_KEPT}"
_FEEDRATE = rf"F(?:100000|\d{{1,5}}){_FRACTION}"
_EXTRUSION = r"E-?(?:\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})"


def plain_run(profile: PrinterProfile) -> re.Pattern[bytes]:
    """Return a pattern that matches as many plain or empty lines as follow each other (possibly none)."""
    axes = "".join(
        rf"(?: {axis}{_up_to(int(size))})?{_KEPT}"
        for axis, size in zip("XYZ", profile.volume_mm, strict=True)
    )
    line = rf"G[01](?: {_FEEDRATE})?{_KEPT}{axes}(?: {_EXTRUSION})?{_KEPT}(?: {_FEEDRATE})?{_KEPT}"
    # Slicers with relative extrusion reset E on every layer or retraction.
    return re.compile(rf"(?:(?:{line}|G92 E0(?:\.0{{1,5}})?)?{_KEPT}\n)*{_KEPT}".encode("ascii"))


def _up_to(largest: int) -> str:
    """Return a pattern for 0 to `largest` with up to 5 decimals, or a fraction without its leading zero."""
    integers = "|".join(_integer_patterns(largest))
    return rf"(?:(?:{integers}){_FRACTION}|\.\d{{1,5}})"


def _integer_patterns(largest: int) -> list[str]:
    """Return alternatives for the integers 0 to `largest`, longest first, without leading zeros."""
    digits = str(largest)
    patterns: list[str] = [digits]
    for place in range(len(digits) - 1, -1, -1):
        lowest = 1 if place == 0 and len(digits) > 1 else 0
        highest = int(digits[place]) - 1
        if highest >= lowest:
            patterns.append(f"{digits[:place]}[{lowest}-{highest}]" + r"\d" * (len(digits) - place - 1))
    shorter = [rf"[1-9]\d{{{length - 1}}}" for length in range(len(digits) - 1, 1, -1)]
    return [*patterns, *shorter, *([r"\d"] if len(digits) > 1 else [])]
