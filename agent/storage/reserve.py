"""A few megabytes kept back for the database: when others fill the disk, a running print still ends on record.

New files are refused long before (limits.min_free_bytes); what fills the rest is not ours. The reserve is given up at
the first write that finds no room, and taken again when there is.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The events of many prints (some 400 bytes each) and the WAL they need on the way (cut back at 4 MiB).
RESERVE_BYTES = 8 << 20
# Taken again only when the disk has room for it several times over, or it would itself be what fills the disk.
_ROOM_FACTOR = 4


class Reserve:
    """The file `path`; blocking, safe from any thread (each call is one system call that decides)."""

    def __init__(self, path: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def take(self) -> bool:
        """Allocate the reserve where it is missing and there is room; returns whether it is there now."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size == self._size_bytes:
                return True
        try:
            figures = os.statvfs(self._path.parent)
            if figures.f_bavail * figures.f_frsize < self._size_bytes * _ROOM_FACTOR:
                return False
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:  # no disk to keep anything on: whoever writes next will say so
            return False
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)
        return True

    def release(self) -> bool:
        """Give the room back; returns whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
