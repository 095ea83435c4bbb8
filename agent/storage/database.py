"""The database of record: one SQLite file, one thread that owns the connection, one transaction per call."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from agent.domain.errors import StorageError
from agent.storage import faults, schema
from agent.storage.reserve import Reserve
from agent.thread_name import name_thread

Connection = sqlite3.Connection
T = TypeVar("T")

# Longer than any commit of our own on a slow card (p99 0.8 s), so that only a foreign lock is an error.
_BUSY_TIMEOUT_MS = 5_000
# Pages are read again from the kernel's cache cheaply; 1 MiB keeps the daemon small.
_CACHE_KIB = 1_024
# A WAL that a long reader let grow is cut back to this at the next checkpoint.
_WAL_LIMIT_BYTES = 4 * 1024 * 1024
# Damaged files are kept for inspection, but a dying card must not fill itself with them.
_KEPT_CORRUPT = 3


@dataclass(slots=True)
class _Opened:
    connection: sqlite3.Connection
    moved_aside: Path | None


class Database:
    """The SQLite file of record. Call it from the event loop; the connection stays in its own thread.

    `moved_aside` names the damaged file that this database replaces, else None: `Queue.open` reports it. `reserve` is
    room on the disk for its own writes: a transaction that finds the disk full gives it up and is tried once more.
    """

    def __init__(self, path: Path, executor: ThreadPoolExecutor, opened: _Opened) -> None:
        self.path = path
        self.moved_aside = opened.moved_aside
        self.reserve = Reserve(path.with_name("reserve"))
        self._executor = executor
        self._connection = opened.connection
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or create the database at `path`, check it, and bring its schema up to date.

        A damaged file is moved to `<name>.corrupt-<utc>` and replaced by an empty one (see `moved_aside`).
        Raises StorageError: database_newer, database_locked, disk_full, storage_failed.
        """
        executor = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="db", initializer=name_thread, initargs=("db",)
        )
        try:
            opened = await asyncio.get_running_loop().run_in_executor(executor, _open_checked, path)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(path, executor, opened)

    async def run(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` as one write transaction and return its value once that is on disk.

        `fn` runs in the database thread. When it raises, nothing it did remains. Once called, the transaction
        is carried through even if the waiting task is cancelled.
        """
        return await self._submit("BEGIN IMMEDIATE", fn)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` on one consistent view without taking the write lock; works on a full disk too."""
        return await self._submit("BEGIN DEFERRED", fn)

    async def fold(self) -> None:
        """Fold the WAL into the file and cut it to nothing, so that what was overwritten is not left in it."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._fold)

    async def close(self) -> None:
        """Fold the WAL into the file and close it. Calling it again is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.close)
        self._executor.shutdown(wait=True)

    async def _submit(self, begin: str, fn: Callable[[Connection], T]) -> T:
        if self._is_closed:
            raise StorageError(
                f"{self.path} is closed", remedy="the daemon is stopping: try again when it runs"
            )
        future = self._executor.submit(self._transact, begin, fn)
        return await asyncio.shield(asyncio.wrap_future(future))

    def _transact(self, begin: str, fn: Callable[[Connection], T]) -> T:
        try:
            return self._attempt(begin, fn)
        except StorageError as error:
            if error.code != "disk_full" or not self.reserve.release():
                raise
        return self._attempt(begin, fn)

    def _attempt(self, begin: str, fn: Callable[[Connection], T]) -> T:
        connection = self._connection
        try:
            connection.execute(begin)
            try:
                value = fn(connection)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has already rolled back by itself after a full disk or an I/O error.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            if faults.is_corruption(error):
                _suspect(self.path).touch()
            raise faults.from_sqlite(error, self.path) from error
        return value

    def _fold(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise faults.from_sqlite(error, self.path) from error


def _open_checked(path: Path) -> _Opened:
    """Database thread: connect, or move a damaged file aside and connect to an empty one."""
    moved = None
    try:
        try:
            connection = _connect_with_room(path)
        except sqlite3.DatabaseError as error:
            if not faults.is_corruption(error):
                raise
            moved = _move_aside(path)
            connection = _connect(path)
    except sqlite3.Error as error:
        raise faults.from_sqlite(error, path) from error
    except OSError as error:
        raise faults.from_os(error, path) from error
    return _Opened(connection, moved)


def _connect_with_room(path: Path) -> sqlite3.Connection:
    """Connect; on a full disk once more without the reserve: a start needs room for the WAL's index."""
    try:
        return _connect(path)
    except (sqlite3.Error, OSError) as error:
        is_full = faults.is_full(error)
        if not is_full or not Reserve(path.with_name("reserve")).release():
            raise
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=_BUSY_TIMEOUT_MS / 1000, check_same_thread=False
    )
    try:
        connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # NORMAL lost acknowledged commits at 26 of 49 power cuts
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "secure_delete = ON",  # Debian's default: an erased order is not left in a free page
            "cell_size_check = ON",
            f"cache_size = -{_CACHE_KIB}",
            f"journal_size_limit = {_WAL_LIMIT_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        _check(connection, _suspect(path))
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _suspect(path: Path) -> Path:
    """Return the mark of a database that proved damaged while in use: the next start looks closer."""
    return path.with_name(f"{path.name}.suspect")


def _check(connection: sqlite3.Connection, suspect: Path) -> None:
    # The quick check does not compare indexes with their tables; the full one takes several times as long.
    pragma = "integrity_check(1)" if suspect.exists() else "quick_check(1)"
    verdict = str(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
    suspect.unlink(missing_ok=True)
    if verdict != "ok":
        damaged = sqlite3.DatabaseError(verdict)
        damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damaged


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    # The companions keep their suffix behind the new name: SQLite finds them when the copy is examined.
    for suffix in ("", "-wal", "-shm"):
        companion = Path(f"{path}{suffix}")
        if companion.exists():
            companion.rename(f"{target}{suffix}")
    kept = sorted(p for p in path.parent.glob(f"{path.name}.corrupt-*") if p.suffix.endswith("Z"))
    for old in kept[:-_KEPT_CORRUPT]:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{old}{suffix}").unlink(missing_ok=True)
    return target
