"""Table `jobs`: one row per order. Functions run inside the caller's transaction."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from agent.domain.job import Job, JobState, Reason
from agent.storage.database import Connection

_COLUMNS = tuple(field.name for field in dataclasses.fields(Job))
_STATE, _REASON, _HELD_FROM = (_COLUMNS.index(name) for name in ("state", "reason", "held_from"))
_LIST = ", ".join(_COLUMNS)
_MARKS = ", ".join("?" * len(_COLUMNS))
_SETTERS = ", ".join(f"{name} = ?" for name in _COLUMNS)
_TOUCH = "(SELECT coalesce(max(touched), 0) + 1 FROM jobs)"
_SELECT = f"SELECT {_LIST} FROM jobs"  # noqa: S608 - field names
_INSERT = f"INSERT INTO jobs ({_LIST}, touched) VALUES ({_MARKS}, {_TOUCH})"  # noqa: S608 - field names
_UPDATE = f"UPDATE jobs SET {_SETTERS}, touched = {_TOUCH} WHERE job_id = ?"  # noqa: S608 - field names
_NEWEST_FIRST = "ORDER BY touched DESC"
# Priority first, then the place in the queue; the id only makes the order total.
_QUEUE_ORDER = "ORDER BY priority DESC, position, job_id"
_TERMINAL = tuple(state.value for state in JobState if state.is_terminal)
_IS_TERMINAL = f"state IN ({', '.join('?' * len(_TERMINAL))})"


def insert(connection: Connection, job: Job) -> None:
    """Write a new job."""
    connection.execute(_INSERT, _values(job))


def update(connection: Connection, job: Job) -> None:
    """Write all fields of an existing job."""
    connection.execute(_UPDATE, (*_values(job), job.job_id))


def get(connection: Connection, job_id: str) -> Job | None:
    """Return the job with exactly this id."""
    row = connection.execute(f"{_SELECT} WHERE job_id = ?", (job_id,)).fetchone()
    return None if row is None else _job(row)


def with_prefix(connection: Connection, prefix: str, limit: int) -> tuple[Job, ...]:
    """Return up to `limit` jobs whose id starts with `prefix`, newest first."""
    query = f"{_SELECT} WHERE substr(job_id, 1, length(?1)) = ?1 {_NEWEST_FIRST} LIMIT ?2"
    rows = connection.execute(query, (prefix, limit))
    return tuple(_job(row) for row in rows)


def unfinished(connection: Connection) -> tuple[Job, ...]:
    """Return all jobs that are not terminal, in queue order."""
    query = f"{_SELECT} WHERE NOT {_IS_TERMINAL} {_QUEUE_ORDER}"
    return tuple(_job(row) for row in connection.execute(query, _TERMINAL))


def finished(connection: Connection, limit: int) -> tuple[Job, ...]:
    """Return up to `limit` terminal jobs, newest first."""
    query = f"{_SELECT} WHERE {_IS_TERMINAL} {_NEWEST_FIRST} LIMIT ?"
    return tuple(_job(row) for row in connection.execute(query, (*_TERMINAL, limit)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which jobs are looked at: none of the ids `besides`, only of `formats` (empty: any), none of `other_formats`."""

    besides: AbstractSet[str] = frozenset()
    formats: AbstractSet[str] = frozenset()
    other_formats: AbstractSet[str] = frozenset()

    @property
    def lists(self) -> tuple[str, str, str]:
        """Return the three as JSON lists for a query."""
        besides, formats, others = (
            json.dumps(sorted(one)) for one in (self.besides, self.formats, self.other_formats)
        )
        return besides, formats, others


_ANY = Chosen()


def first(
    connection: Connection,
    state: JobState,
    *,
    profile: str | None = None,
    other_than: str = "",
    chosen: Chosen = _ANY,
) -> Job | None:
    """Return the first job of the queue in `state`.

    Checked under `profile`, or under another one than `other_than`.
    """
    query = (
        f"{_SELECT} WHERE state = ?1 AND (?2 IS NULL OR profile_digest IS ?2) AND profile_digest IS NOT ?3"  # noqa: S608 - constants
        " AND job_id NOT IN (SELECT value FROM json_each(?4))"
        " AND (json_array_length(?5) = 0 OR artefact_format IN (SELECT value FROM json_each(?5)))"
        f" AND artefact_format NOT IN (SELECT value FROM json_each(?6)) {_QUEUE_ORDER} LIMIT 1"
    )
    row = connection.execute(query, (state.value, profile, other_than, *chosen.lists)).fetchone()
    return None if row is None else _job(row)


def active(connection: Connection) -> Job | None:
    """Return the job that is on the bed."""
    row = connection.execute(f"{_SELECT} WHERE state IN ('printing', 'paused')").fetchone()
    return None if row is None else _job(row)


def count_unfinished(connection: Connection) -> int:
    """Count the jobs that are not terminal."""
    query = f"SELECT count(*) FROM jobs WHERE NOT {_IS_TERMINAL}"  # noqa: S608 - constants
    return int(connection.execute(query, _TERMINAL).fetchone()[0])


def last_position(connection: Connection) -> float:
    """Return the greatest position of an unfinished job, 0 in an empty queue."""
    query = f"SELECT coalesce(max(position), 0.0) FROM jobs WHERE NOT {_IS_TERMINAL}"  # noqa: S608 - constants
    return float(connection.execute(query, _TERMINAL).fetchone()[0])


def digests(connection: Connection, kept_finished: int) -> tuple[tuple[str, str | None], ...]:
    """Return (artefact, prepared) SHA-256 of all unfinished jobs and of the newest finished ones."""
    columns = "SELECT artefact_sha256, prepared_sha256 FROM jobs"
    waiting = connection.execute(f"{columns} WHERE NOT {_IS_TERMINAL}", _TERMINAL)
    over = connection.execute(
        f"{columns} WHERE {_IS_TERMINAL} {_NEWEST_FIRST} LIMIT ?", (*_TERMINAL, kept_finished)
    )
    return tuple((row[0], row[1]) for row in (*waiting, *over))


def forget_finished(connection: Connection, keep: int) -> None:
    """Remove all but the newest `keep` terminal jobs and, with them, their prints. Their events stay."""
    old = f"SELECT job_id FROM jobs WHERE {_IS_TERMINAL} {_NEWEST_FIRST} LIMIT -1 OFFSET ?"  # noqa: S608 - constants
    connection.execute(f"DELETE FROM jobs WHERE job_id IN ({old})", (*_TERMINAL, keep))  # noqa: S608 - constants


def _values(job: Job) -> tuple[str | int | float | None, ...]:
    # A StrEnum is a str, but sqlite3 binds only exact types in STRICT columns without surprises.
    values = (getattr(job, name) for name in _COLUMNS)
    return tuple(value.value if isinstance(value, (JobState, Reason)) else value for value in values)


def _job(row: sqlite3.Row) -> Job:
    # By position, in the order of the fields: the status view reads the whole queue twice a second.
    values: list[Any] = list(row)
    values[_STATE] = JobState(values[_STATE])
    values[_REASON] = Reason(values[_REASON]) if values[_REASON] else None
    values[_HELD_FROM] = JobState(values[_HELD_FROM]) if values[_HELD_FROM] else None
    return Job(*values)
