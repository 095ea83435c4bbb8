"""Ids of local jobs and of prints: short enough to type, random enough never to meet again."""

from __future__ import annotations

import random
from collections.abc import Callable

# Crockford's base 32 in lower case: no i, l, o, u, so that nothing is misread from a label or a terminal.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_CHARS = 8  # 40 bits: a collision is checked for, and with 10,000 ids it has a chance of 1 in 100 million
JOB_PREFIX = "j-"
PRINT_PREFIX = "p-"
_MISREAD = str.maketrans({"i": "1", "l": "1", "o": "0"})


def new_id(prefix: str, rng: random.Random, is_taken: Callable[[str], bool]) -> str:
    """Draw an id that is not taken."""
    while True:
        candidate = prefix + "".join(rng.choice(ALPHABET) for _ in range(ID_CHARS))
        if not is_taken(candidate):
            return candidate


def spellings(typed: str, prefix: str) -> tuple[str, ...]:
    """Return what a person may have meant, best first: as typed, then with misread letters mended."""
    text = typed.strip()
    body = text.lower().removeprefix(prefix).translate(_MISREAD)
    mended = prefix + body
    return (text,) if mended == text else (text, mended)
