"""The text of a profile's scripts: which placeholders exist, and what a line may look like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

# Filled in by the printer service when a script runs. Lengths in mm, retract_speed in mm/min.
PLACEHOLDERS = frozenset({
    "x", "y", "z", "e",                    # position where the print was interrupted
    "park_x", "park_y", "lift",            # from [park]
    "retract", "retract_speed",
})  # fmt: skip

# Filled in when a mesh is sliced: targets in °C, sizes of the printable volume in mm, retraction as above. A line is
# left out when the thing it speaks of does not exist (no heated bed, no chamber).
SLICE_PLACEHOLDERS = frozenset({
    "first_nozzle", "nozzle", "first_bed", "bed", "chamber",
    "width", "depth", "height", "park_x", "park_y", "lift", "retract", "retract_speed",
})  # fmt: skip

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MAX_LINE = 80


def check_script(lines: Sequence[str], placeholders: AbstractSet[str] = PLACEHOLDERS) -> None:
    """Raise ValueError for a line that is not one printable command or names an unknown placeholder."""
    known = ", ".join(sorted(placeholders))
    for line in lines:
        if not line.strip() or len(line) > _MAX_LINE or not (line.isascii() and line.isprintable()):
            raise ValueError(f"{line!r} is not one command of 1 to {_MAX_LINE} printable characters")
        unknown = sorted(set(_PLACEHOLDER.findall(line)) - placeholders)
        if unknown:
            raise ValueError(f"{line!r} has an unknown placeholder {{{unknown[0]}}}; known: {known}")
        if re.search(r"[{}]", _PLACEHOLDER.sub("", line)):
            raise ValueError(f"{line!r} has an unfinished placeholder")


def fill_script(lines: Sequence[str], values: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return the lines with their placeholders filled; a line with a value of None is left out."""
    filled: list[str] = []
    for line in lines:
        names = _PLACEHOLDER.findall(line)
        if all(values.get(name) is not None for name in names):
            filled.append(_PLACEHOLDER.sub(lambda found: f"{values[found[1]]:g}", line))
    return tuple(filled)
