"""Many decimal numbers out of text at once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.mesh.arrays import F64, I64
from agent.mesh.errors import MeshFileError


def floats(text: bytes, expected: int, what: str) -> F64:
    """Return exactly `expected` numbers separated by white space. Raises MeshFileError naming `what`."""
    return np.asarray(_parsed(text, np.float64, expected, what), dtype=np.float64)


def integers(text: bytes, expected: int, what: str) -> I64:
    """Return exactly `expected` whole numbers separated by white space. Raises MeshFileError naming `what`."""
    return np.asarray(_parsed(text, np.int64, expected, what), dtype=np.int64)


def _parsed(text: bytes, kind: type[np.float64 | np.int64], expected: int, what: str) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            found = np.fromstring(text, dtype=kind, sep=" ")
        except (ValueError, DeprecationWarning):
            raise _broken(text, what) from None
    if len(found) != expected:
        raise MeshFileError(
            f"{what}: {expected} numbers expected, {len(found)} found",
            code="file.malformed",
            remedy="export it again",
        )
    return found


def _broken(text: bytes, what: str) -> MeshFileError:
    for word in text.split():
        try:
            float(word)
        except ValueError:
            shown = word[:30].decode("utf-8", "replace")
            hint = "write numbers with a decimal point" if b"," in word else "export it again"
            return MeshFileError(f"{what}: {shown!r} is no number", code="file.malformed", remedy=hint)
    return MeshFileError(f"{what}: not a list of whole numbers", code="file.malformed")
