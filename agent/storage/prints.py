"""Table `prints`: one row per attempt at one copy. Functions run inside the caller's transaction."""

from __future__ import annotations

import dataclasses
import sqlite3

from agent.domain.job import Reason
from agent.domain.prints import PrintRecord, PrintState
from agent.storage.database import Connection

_COLUMNS = tuple(field.name for field in dataclasses.fields(PrintRecord))
_MARKS = ", ".join("?" * len(_COLUMNS))
_SETTERS = ", ".join(f"{name} = ?" for name in _COLUMNS)
_INSERT = f"INSERT INTO prints ({', '.join(_COLUMNS)}) VALUES ({_MARKS})"  # noqa: S608 - field names
_UPDATE = f"UPDATE prints SET {_SETTERS} WHERE print_id = ?"  # noqa: S608 - field names


def insert(connection: Connection, record: PrintRecord) -> None:
    """Write a new print; the database refuses a second running one."""
    connection.execute(_INSERT, _values(record))


def update(connection: Connection, record: PrintRecord) -> None:
    """Write all fields of an existing print."""
    connection.execute(_UPDATE, (*_values(record), record.print_id))


def get(connection: Connection, print_id: str) -> PrintRecord | None:
    """Return the print with exactly this id."""
    row = connection.execute("SELECT * FROM prints WHERE print_id = ?", (print_id,)).fetchone()
    return None if row is None else _record(row)


def with_prefix(connection: Connection, prefix: str, limit: int) -> tuple[PrintRecord, ...]:
    """Return up to `limit` prints whose id starts with `prefix`, newest first."""
    rows = connection.execute(
        "SELECT * FROM prints WHERE substr(print_id, 1, length(?1)) = ?1 ORDER BY rowid DESC LIMIT ?2",
        (prefix, limit),
    )
    return tuple(_record(row) for row in rows)


def running(connection: Connection) -> PrintRecord | None:
    """Return the print that has started and is not over."""
    row = connection.execute(
        "SELECT * FROM prints WHERE state IN ('starting', 'printing', 'paused')"
    ).fetchone()
    return None if row is None else _record(row)


def newest(connection: Connection, limit: int, job_id: str | None = None) -> tuple[PrintRecord, ...]:
    """Return up to `limit` prints, newest first; only those of one job when `job_id` is given."""
    rows = connection.execute(
        "SELECT * FROM prints WHERE ?1 IS NULL OR job_id = ?1 ORDER BY rowid DESC LIMIT ?2",
        (job_id, limit),
    )
    return tuple(_record(row) for row in rows)


def _values(record: PrintRecord) -> tuple[str | int | None, ...]:
    values = (getattr(record, name) for name in _COLUMNS)
    return tuple(value.value if isinstance(value, (PrintState, Reason)) else value for value in values)


def _record(row: sqlite3.Row) -> PrintRecord:
    fields = dict(row)
    fields["state"] = PrintState(fields["state"])
    fields["reason"] = Reason(fields["reason"]) if fields["reason"] else None
    fields["cancel_reason"] = Reason(fields["cancel_reason"]) if fields["cancel_reason"] else None
    return PrintRecord(**fields)
