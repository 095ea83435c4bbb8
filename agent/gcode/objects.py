"""Names of the objects in a file, from the slicer's comments and object commands near its ends.

Cura writes the whole path of a mesh on the slicing computer: only the last part of a name is kept.
"""

from __future__ import annotations

import json
import re

MAX_OBJECTS = 200
MAX_NAME_CHARS = 80

_NAMES = re.compile(
    r"^(?:; printing object (?P<prusa>[^\n]{1,200}?)(?: id:\d+ copy \d+)?"
    r"|;MESH:(?P<cura>[^\n]{1,400})"
    r"|;PRINTING: ?(?P<ideamaker>[^\n]{1,200})"
    r"|EXCLUDE_OBJECT_DEFINE [^\n]{0,200}?NAME=(?P<klipper>[^\s]{1,200})[^\n]*"
    r"|M486 [^\n]{0,20}?A\"?(?P<marlin>[^\"\n;]{1,200})\"?)\s*$",
    re.MULTILINE,
)
_INFO = re.compile(r"^; objects_info = (\{.{1,100000}\})$", re.MULTILINE)
_NO_MESH = "NONMESH"  # Cura's word for travel between objects


def read_objects(head: bytes, tail: bytes) -> tuple[str, ...]:
    """Return distinct names in order of appearance; empty when the slicer wrote none."""
    text = b"\n".join((head, tail)).decode("utf-8", "replace").replace("\r\n", "\n")
    names: dict[str, None] = {}
    for found in _NAMES.finditer(text):
        raw = next((value for value in found.groupdict().values() if value), "")
        if raw != _NO_MESH and (name := _clean(raw)):
            names.setdefault(name)
    for name in _from_info(text):
        names.setdefault(name)
    return tuple(names)[:MAX_OBJECTS]


def _from_info(text: str) -> list[str]:
    """PrusaSlicer 2.9 lists its objects as JSON."""
    found = _INFO.search(text)
    if not found:
        return []
    try:
        entries = json.loads(found[1]).get("objects", [])
        return [name for entry in entries[:MAX_OBJECTS] if (name := _clean(str(entry.get("name", ""))))]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []


def _clean(raw: str) -> str:
    last = re.split(r"[/\\]", raw.strip())[-1]
    return "".join(char for char in last if char.isprintable())[:MAX_NAME_CHARS].strip()
