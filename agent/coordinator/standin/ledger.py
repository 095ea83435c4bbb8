"""The coordinator's memory: one SQLite file that the server and the commands beside it share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.domain.errors import StorageError

Connection = sqlite3.Connection
SCHEMA_VERSION = 1
# Longer than any commit on a slow card: the server and a command may want to write at the same time.
_BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE units (
    unit        TEXT PRIMARY KEY,
    presence    TEXT NOT NULL DEFAULT 'unknown',
    epoch       TEXT NOT NULL DEFAULT '',
    connect     INTEGER NOT NULL DEFAULT 0,
    since_ms    INTEGER NOT NULL DEFAULT 0,
    reason      TEXT NOT NULL DEFAULT '',
    state       TEXT,               -- newest state/unit, JSON
    live        TEXT,               -- newest up/live, JSON
    want_sent   INTEGER NOT NULL DEFAULT 0,
    seen_ms     INTEGER NOT NULL
) STRICT;

-- What units reported. The key is what makes a redelivered record harmless.
CREATE TABLE records (
    n           INTEGER PRIMARY KEY AUTOINCREMENT,
    unit        TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    covers      INTEGER NOT NULL,
    type        TEXT NOT NULL,
    job         TEXT,
    state       TEXT,
    arrived_ms  INTEGER NOT NULL,
    body        TEXT NOT NULL,
    UNIQUE (unit, epoch, seq)
) STRICT;

-- How far each unit's numbers are complete. `base` is where this coordinator came in.
CREATE TABLE progress (
    unit        TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    base        INTEGER NOT NULL,
    upto        INTEGER NOT NULL,
    received    INTEGER NOT NULL DEFAULT 0,
    repeated    INTEGER NOT NULL DEFAULT 0,
    conflicts   INTEGER NOT NULL DEFAULT 0,
    ack_due     INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (unit, epoch)
) STRICT;

-- Numbers the unit says it does not hold any more and this coordinator never got.
CREATE TABLE gaps (
    unit        TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    PRIMARY KEY (unit, epoch, first)
) STRICT;

CREATE TABLE jobs (
    n           INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id      TEXT NOT NULL,
    rev         INTEGER NOT NULL,
    unit        TEXT NOT NULL,
    name        TEXT NOT NULL,
    payload     BLOB NOT NULL,      -- exactly these bytes, signed or not, whenever it is sent
    expires_ms  INTEGER,
    created_ms  INTEGER NOT NULL,
    is_sent     INTEGER NOT NULL DEFAULT 0,
    retry_ms    INTEGER NOT NULL DEFAULT 0,
    state       TEXT,               -- NULL until the unit has answered
    detail      TEXT NOT NULL DEFAULT '',
    state_epoch TEXT NOT NULL DEFAULT '',
    state_seq   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job_id, rev)
) STRICT;

CREATE TABLE commands (
    cmd_id      TEXT PRIMARY KEY,
    unit        TEXT NOT NULL,
    payload     BLOB NOT NULL,
    expires_ms  INTEGER NOT NULL,
    is_sent     INTEGER NOT NULL DEFAULT 0,
    status      TEXT NOT NULL DEFAULT 'waiting',
    answer      TEXT
) STRICT;

-- Files that are served by HTTP, by the token in their URL.
CREATE TABLE files (
    token       TEXT PRIMARY KEY,
    path        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    name        TEXT NOT NULL
) STRICT;
"""


class Ledger:
    """One connection to the file; one thread. Several processes may have theirs open at once.

    Raises StorageError for a file that cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files_dir = path.with_name(f"{path.stem}.files")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.files_dir.mkdir(mode=0o700, exist_ok=True)
            _create_file(path)
            self._connection = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"{path} cannot be used as a coordinator's file: {error}",
                remedy="name another file with --db, or mend its permissions",
            ) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Everything in the block is on disk when it ends, or nothing of it. Raises StorageError."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StorageError(f"{self.path} cannot be used: {error}") from error
            raise

    @property
    def reading(self) -> Connection:
        """The connection for single queries outside a transaction."""
        return self._connection

    def foreign_version(self) -> int:
        """Return a number that changes when another process has written."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


def meta(connection: Connection, key: str) -> str | None:
    """Return a remembered text."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])


def set_meta(connection: Connection, key: str, value: str) -> None:
    """Remember a text."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _create_file(path: Path) -> None:
    """Create the file for its owner alone, and never open one that is there.

    Closing a descriptor drops all locks this process has on the file, those of its SQLite connections too: another
    process would then take itself for the only one and remove the WAL.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return


def _connect(path: Path) -> Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # An acknowledgement makes the unit forget: what was acknowledged must survive a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        _bring_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up(connection: Connection) -> None:
    """Create the tables; of several processes that start together one does. Raises sqlite3.DatabaseError."""
    if _version(connection) == SCHEMA_VERSION:
        return  # without asking for the write lock
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection)
    if version == 0:
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if version not in (0, SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"schema version {version}, this fabunit knows {SCHEMA_VERSION}")


def _version(connection: Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
