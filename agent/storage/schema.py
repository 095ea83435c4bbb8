"""Schema versions: numbered SQL files, each applied in one transaction together with its version number."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.domain.errors import StorageError

_FOLDER = Path(__file__).with_name("migrations")


def migrations() -> list[tuple[int, str]]:
    """All migrations this program knows as (version, SQL text), oldest first; versions count up from 1."""
    files = _FOLDER.glob("*.sql")
    return sorted((int(file.name.split("_", 1)[0]), file.read_text("utf-8")) for file in files)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest version.

    Raises StorageError `database_newer` for a file written by a later fabunit; that file is left as it is.
    """
    known = migrations()
    newest = known[-1][0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > newest:
        raise StorageError(
            f"the database has schema version {version}, this fabunit knows versions up to {newest}",
            code="database_newer",
            remedy="install the newer fabunit again, or move the database away to start with an empty one",
        )
    for number, sql in known:
        if number > version:
            _apply(connection, number, sql)


def _apply(connection: sqlite3.Connection, number: int, sql: str) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
