"""A file that was named on the command line: it is there and can be read, or an error names it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.domain.errors import ArtefactError, FabunitError, NotFoundError


def demand_file(file: Path) -> int:
    """Return its size in bytes.

    NotFoundError when nothing is there, ArtefactError `bad_name` for what is no file, FabunitError `unreadable`.
    """
    try:
        found = file.stat()
        is_readable = os.access(file, os.R_OK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this cannot be the name of a file"
        raise NotFoundError(f"{file}: {reason}", remedy="check the path") from error
    if not stat.S_ISREG(found.st_mode):
        raise ArtefactError(
            f"{file} is not a file", code="bad_name", remedy="name the files in it one by one"
        )
    if not is_readable:
        raise FabunitError(
            f"{file}: no permission to read it", code="unreadable", remedy="check the file's mode"
        )
    return found.st_size


@contextlib.contextmanager
def named(file: Path) -> Iterator[None]:
    """Have every error inside name the file it is about."""
    try:
        yield
    except FabunitError as error:
        if file.name not in error.message:
            error.message = f"{file.name}: {error.message}"
        raise
