"""What SQLite and the kernel report, as errors a person can act on."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from agent.domain.errors import StorageError

_FULL_REMEDY = (
    "delete files or move the state directory to a larger disk; nothing that was acknowledged is lost"
)
_DENIED_REMEDY = "give the state directory to the user that runs fabunit (chown -R), mode 0700"
_CORRUPT_REMEDY = (
    "restart fabunit: it moves the damaged file aside and starts an empty database; check the SD card"
)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_PRIMARY_CODE_MASK = 0xFF  # extended result codes keep the primary one in the low byte


def is_corruption(error: sqlite3.Error) -> bool:
    """Tell whether SQLite says that the file is damaged or is no database at all."""
    return _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: sqlite3.Error | OSError) -> bool:
    """Tell whether the disk has no room; SQLite that cannot make its shared memory calls it an I/O error (SHMSIZE)."""
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    extended = getattr(error, "sqlite_errorcode", None)
    return _primary(error) == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE


def from_sqlite(error: sqlite3.Error, path: Path) -> StorageError:
    """Return the StorageError for a failed SQLite call on the database at `path`."""
    code = _primary(error)
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if code == sqlite3.SQLITE_FULL:
        return disk_full(path.parent)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(
            f"{path} is locked by another program",
            code="database_locked",
            remedy="close other programs that have the database open (sqlite3, a file browser, a backup)",
        )
    if is_corruption(error):
        return StorageError(f"{path} is damaged: {error}", code="database_corrupt", remedy=_CORRUPT_REMEDY)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StorageError(f"{path} cannot be written ({name}): {error}", remedy=_DENIED_REMEDY)
    return StorageError(f"{path}: {error} ({name})", remedy="see `fabunit doctor` for the state of the disk")


def from_os(error: OSError, path: Path) -> StorageError:
    """Return the StorageError for a failed file operation at `path`."""
    if error.errno in _NO_SPACE:
        return disk_full(path.parent)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{path} cannot be written: {error.strerror}", remedy=_DENIED_REMEDY)
    return StorageError(
        f"{path}: {error.strerror or error}", remedy="see `fabunit doctor` for the state of the disk"
    )


def disk_full(directory: Path) -> StorageError:
    """Return the error of a disk, the one that holds `directory`, without room."""
    return StorageError(f"the disk that holds {directory} is full", code="disk_full", remedy=_FULL_REMEDY)


def _primary(error: sqlite3.Error) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code & _PRIMARY_CODE_MASK if isinstance(code, int) else -1
