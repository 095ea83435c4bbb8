"""A sound copy of the database of record, made while the daemon runs.

The copy is for a person to put back (docs/troubleshooting.md): the daemon never does so by itself, because jobs that
were printed since would print again. It is born under an epoch of its own and with an occupied bed, so that a restored
copy neither reuses an event's number nor prints before somebody has looked.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from agent.storage import faults
from agent.storage.artefacts import sync_directory
from agent.storage.inbox import has_document

if TYPE_CHECKING:
    from pathlib import Path

# Copied in steps, so that the one writer is never kept waiting longer than a step takes.
_STEP_PAGES = 64
_PAUSE_S = 0.02


def backup_path(path: Path) -> Path:
    """Return where the copy of the database at `path` lies."""
    return path.with_name(f"{path.name}.backup")


def back_up(path: Path) -> Path:
    """Copy the database; blocking, in any thread. Raises StorageError; an older copy then stays."""
    target = backup_path(path)
    part = target.with_name(f"{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _copy(path, part)
        descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(target)
        sync_directory(target.parent)
    except sqlite3.Error as error:
        part.unlink(missing_ok=True)
        raise faults.from_sqlite(error, part) from error
    except OSError as error:
        part.unlink(missing_ok=True)
        raise faults.from_os(error, part) from error
    return target


def holds_order(path: Path, job_id: str, rev: int) -> bool:
    """Tell whether the copy of the database at `path` has the text of an order; blocking.

    One that cannot be read is taken to have it.
    """
    copy = backup_path(path)
    if not copy.exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{quote(str(copy))}?mode=ro&immutable=1", uri=True)) as connection:
            return has_document(connection, job_id, rev)
    except sqlite3.Error:
        return True


def _copy(path: Path, part: Path) -> None:
    source_uri = f"file:{quote(str(path))}?mode=ro"
    with (
        closing(sqlite3.connect(source_uri, uri=True)) as source,
        closing(sqlite3.connect(part, isolation_level=None)) as copy,
    ):
        source.backup(copy, pages=_STEP_PAGES, sleep=_PAUSE_S)
        # Written once and synced by the caller: no journal beside it, no wait for the disk in between.
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("PRAGMA synchronous = OFF")
        copy.execute("UPDATE meta SET value = lower(hex(randomblob(8))) WHERE key = 'epoch'")
        copy.execute(
            "INSERT INTO meta (key, value) VALUES ('bed', 'occupied')"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
