"""Free text in commands (M117, M0, M486): made harmless before it is sent."""

from __future__ import annotations

import re

# Marlin <= 2.1 and Buddy take `M110` anywhere in a numbered line for a line-number command.
_COMMAND_LIKE = re.compile(r"[GM] *0*\d{2,}|N *-?\d+ |action *:|//", re.IGNORECASE)
# `*` starts a checksum, parentheses and braces open comments or expressions that swallow the rest of the line.
_HARMLESS = str.maketrans({"*": "x", "(": None, ")": None, "{": None, "}": None, "[": None, "]": None})


def clean_text(text: str, limit: int) -> str | None:
    """Return the text as printable ASCII of at most `limit` characters; None when it looks like a command."""
    ascii_text = text.encode("ascii", "replace").decode("ascii")
    cleaned = "".join(char for char in ascii_text.translate(_HARMLESS) if char.isprintable()).strip()
    if _COMMAND_LIKE.search(cleaned):
        return None
    return cleaned[:limit].rstrip()
