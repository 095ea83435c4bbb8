"""The text of a profile's scripts: which placeholders exist, and what a line may look like."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Filled in by the printer service when a script runs. Lengths in mm, retract_speed in mm/min.
PLACEHOLDERS = frozenset({
    "x", "y", "z", "e",                    # position where the print was interrupted
    "park_x", "park_y", "lift",            # from [park]
    "retract", "retract_speed",
})  # fmt: skip

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MAX_LINE = 80


def check_script(lines: Sequence[str]) -> None:
    """Raise ValueError for a line that is not one printable command or names an unknown placeholder."""
    for line in lines:
        if not line.strip() or len(line) > _MAX_LINE or not (line.isascii() and line.isprintable()):
            raise ValueError(f"{line!r} is not one command of 1 to {_MAX_LINE} printable characters")
        unknown = sorted(set(_PLACEHOLDER.findall(line)) - PLACEHOLDERS)
        if unknown:
            raise ValueError(f"{line!r} has an unknown placeholder {{{unknown[0]}}}; known: {_known()}")
        if re.search(r"[{}]", _PLACEHOLDER.sub("", line)):
            raise ValueError(f"{line!r} has an unfinished placeholder")


def _known() -> str:
    return ", ".join(sorted(PLACEHOLDERS))
