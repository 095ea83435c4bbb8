"""File names and formats as strangers give them, reduced to something safe to show. Pure."""

from __future__ import annotations

import unicodedata

# Long enough for any real file name; short enough for a terminal column and for every log line.
MAX_NAME_CHARS = 100
UNNAMED = "unnamed"

# Control, format (bidi overrides, zero-width), surrogate, private, unassigned, line and paragraph ends.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_EXTENSIONS = {
    "gcode": "gcode",
    "gco": "gcode",
    "g": "gcode",
    "nc": "gcode",
    "bgcode": "bgcode",
    "stl": "stl",
    "3mf": "3mf",
    "obj": "obj",
    "ply": "ply",
    "off": "off",
    "amf": "amf",
    "step": "step",
    "stp": "step",
}
_MAGIC = ((b"PK\x03\x04", "3mf"), (b"ply\n", "ply"), (b"ply\r", "ply"), (b"GCDE", "bgcode"))
_MAX_EXTENSION_CHARS = 10


def display_name(raw: str) -> str:
    """Reduce `raw` to a base name without anything that hides, breaks lines or points elsewhere.

    Never empty, at most MAX_NAME_CHARS. For people only: it is never used as a path.
    """
    base = raw.replace("\\", "/").rsplit("/", 1)[-1]
    # Categories first, normalisation second: composing must not be able to create what was filtered.
    visible = "".join(
        " " if char.isspace() else char for char in base if _is_visible(char) or char in "\t\n\r"
    )
    name = " ".join(unicodedata.normalize("NFC", visible).split()).strip(". ")
    if len(name) > MAX_NAME_CHARS:
        stem, dot, extension = name.rpartition(".")
        if not dot or len(extension) > _MAX_EXTENSION_CHARS:
            stem, extension = name, ""
        tail = f"….{extension}" if extension else "…"
        name = stem[: MAX_NAME_CHARS - len(tail)].rstrip(". ") + tail
    return name or UNNAMED


def guess_format(name: str, head: bytes) -> str:
    """Guess `gcode`, `bgcode`, a mesh format (`stl`, `3mf`, `obj`, `ply`, `off`, `amf`, `step`) or `unknown`.

    A hint, never a permission.
    """
    for magic, file_format in _MAGIC:
        if head.startswith(magic):
            return file_format
    extension = name.rpartition(".")[2].strip().lower()
    return _EXTENSIONS.get(extension, "unknown")


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in _HIDDEN_CATEGORIES
