"""Looking into a database of record from outside the daemon: for `doctor` and `support-bundle`, read-only."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agent.storage import faults

if TYPE_CHECKING:
    from pathlib import Path

# A running daemon's write is over long before; a foreign lock must not hang the doctor.
_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a database says of itself: SQLite's verdict (`ok`, or what is wrong), its schema, rows per table."""

    verdict: str
    schema_version: int
    tables: dict[str, int]
    ddl: tuple[str, ...]
    page_size: int
    page_count: int


def inspect(path: Path) -> Inspection:
    """Check and count. Raises StorageError for a file that cannot be read; a damaged one has a verdict."""
    try:
        with closing(_open(path)) as connection:
            return _inspect(connection)
    except sqlite3.DatabaseError as error:
        if faults.is_corruption(error):
            return Inspection(str(error), 0, {}, (), 0, 0)
        raise faults.from_sqlite(error, path) from error


def newest_events(path: Path, limit: int) -> list[dict[str, Any]]:
    """Return the newest events, oldest first, as rows; [] for a database without them. Raises StorageError."""
    try:
        with closing(_open(path)) as connection:
            rows = connection.execute("SELECT * FROM events ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
    except sqlite3.Error as error:
        if faults.is_corruption(error) or "no such table" in str(error):
            return []
        raise faults.from_sqlite(error, path) from error
    return [dict(row) | {"data": json.loads(row["data"])} for row in reversed(rows)]


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_WAIT_S, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    return connection


def _inspect(connection: sqlite3.Connection) -> Inspection:
    def figure(pragma: str) -> int:
        return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    rows = connection.execute(
        "SELECT name, type, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    tables = {}
    for row in rows:
        if row["type"] == "table":
            quoted = str(row["name"]).replace('"', '""')
            tables[str(row["name"])] = int(
                connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]  # noqa: S608 - a name of the schema itself
            )
    return Inspection(
        verdict,
        figure("user_version"),
        tables,
        tuple(str(row["sql"]) for row in rows if row["sql"]),
        figure("page_size"),
        figure("page_count"),
    )
