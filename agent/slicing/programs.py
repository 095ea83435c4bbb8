"""Where slicers are looked for; without loading what drives them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

SEARCH = ("/usr/local/bin", "/usr/bin", "/bin", "/opt/prusa-slicer/bin", "/opt/curaengine/bin")
PROGRAMS: Mapping[str, Sequence[str]] = MappingProxyType({
    "prusaslicer": ("prusa-slicer", "PrusaSlicer"),
    "curaengine": ("CuraEngine", "curaengine"),
})  # fmt: skip
"""By name of the engine, the names of its program."""


def find_program(names: Sequence[str], search: Sequence[str] = SEARCH) -> Path | None:
    """Return the first program of these names, links resolved; None without one."""
    for name in names:
        if path := shutil.which(name, path=os.pathsep.join(search)):
            return Path(path).resolve() if Path(path).is_symlink() else Path(path)
    return None


def has_engine(wanted: str, search: Sequence[str] = SEARCH) -> bool:
    """Tell whether the engine, or for `auto` any, seems to be installed; starts nothing, so it proves nothing."""
    return any(find_program(names, search) for name, names in PROGRAMS.items() if wanted in ("auto", name))
