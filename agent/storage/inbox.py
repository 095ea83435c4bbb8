"""Table `inbox`: every order that came from a coordinator, once. Functions run inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from agent.storage.database import Connection

# Redeliveries come within the broker's session, a week; this is years of a busy unit, 2 MB without documents.
KEPT_ENTRIES = 10_000
# Documents of orders that are over: a retry may fetch their files again. At most 256 kB each.
KEPT_DOCUMENTS = 100
# An attacker, or a confused coordinator, can cancel orders that will never come.
KEPT_TOMBSTONES = 1_000


_IS_OVER = (
    "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = inbox.job_id AND jobs.rev = inbox.rev"
    " AND jobs.state NOT IN ('completed', 'failed', 'cancelled', 'rejected', 'expired'))"
)


class Verdict(StrEnum):
    """What became of an order: taken, rejected, cancelled before it came, replaced by a newer revision."""

    TAKEN = "taken"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Entry:
    """One order. `digest` is over its content, None for a cancellation that came first; `document` is its JSON.

    `expires_mono_ms` is a deadline on the monotonic clock of boot `boot`, None without one.
    """

    job_id: str
    rev: int
    digest: str | None
    verdict: Verdict
    detail: str = ""
    document: str | None = None
    expires_mono_ms: int | None = None
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Timed:
    """The times of an order, Unix milliseconds; `expires_mono_ms` and `boot` as in `Entry`."""

    job_id: str
    not_before: int | None
    expires: int | None
    expires_mono_ms: int | None
    boot: str


def insert(connection: Connection, entry: Entry) -> None:
    """Write a new entry and forget the oldest beyond the bounds; entries of unfinished jobs stay."""
    connection.execute(
        "INSERT INTO inbox (job_id, rev, digest, verdict, detail, document, expires_mono_ms, boot)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.job_id,
            entry.rev,
            entry.digest,
            entry.verdict.value,
            entry.detail,
            entry.document,
            entry.expires_mono_ms,
            entry.boot,
        ),
    )
    _trim(connection, "digest IS NOT NULL", KEPT_ENTRIES)
    _trim(connection, "digest IS NULL", KEPT_TOMBSTONES)
    connection.execute(
        "UPDATE inbox SET document = NULL WHERE document IS NOT NULL AND n <= ("  # noqa: S608 - constants
        "SELECT n FROM inbox WHERE document IS NOT NULL ORDER BY n DESC LIMIT 1 OFFSET ?)"
        f" AND {_IS_OVER}",
        (KEPT_DOCUMENTS,),
    )


def get(connection: Connection, job_id: str, rev: int) -> Entry | None:
    """Return one revision of an order."""
    row = connection.execute("SELECT * FROM inbox WHERE job_id = ? AND rev = ?", (job_id, rev)).fetchone()
    return None if row is None else _entry(row)


def has_document(connection: Connection, job_id: str, rev: int) -> bool:
    """Tell whether the text of an order is kept."""
    query = "SELECT 1 FROM inbox WHERE job_id = ? AND rev = ? AND document IS NOT NULL"
    return connection.execute(query, (job_id, rev)).fetchone() is not None


def newest(connection: Connection, job_id: str) -> Entry | None:
    """Return the highest revision of an order that is known, cancellations included."""
    row = connection.execute(
        "SELECT * FROM inbox WHERE job_id = ? ORDER BY rev DESC LIMIT 1", (job_id,)
    ).fetchone()
    return None if row is None else _entry(row)


def replace_older(connection: Connection, job_id: str, rev: int) -> None:
    """Mark the taken revisions below `rev` as replaced and drop their documents."""
    connection.execute(
        "UPDATE inbox SET verdict = 'replaced', document = NULL"
        " WHERE job_id = ? AND rev < ? AND verdict IN ('taken', 'rejected')",
        (job_id, rev),
    )


def timed(connection: Connection, states: tuple[str, ...]) -> tuple[Timed, ...]:
    """Return the times of taken orders that have some and whose job is in one of `states`, oldest first.

    Read by SQLite: parsing documents with inline files here, every few seconds, would hold up every other thread.
    """
    marks = ", ".join("?" * len(states))
    query = (
        "SELECT inbox.job_id, expires_mono_ms, boot,"  # noqa: S608 - question marks
        " json_extract(document, '$.not_before') AS not_before, json_extract(document, '$.expires') AS expires"
        " FROM inbox JOIN jobs USING (job_id, rev)"
        f" WHERE inbox.verdict = 'taken' AND inbox.document IS NOT NULL AND jobs.state IN ({marks})"
        " AND (instr(inbox.document, '\"not_before\":') OR instr(inbox.document, '\"expires\":'))"
        " ORDER BY inbox.n"
    )
    return tuple(Timed(**dict(row)) for row in connection.execute(query, states))


def to_erase(connection: Connection) -> tuple[Entry, ...]:
    """Return the orders that are over and want their files erased, and whose text is still here."""
    query = (
        "SELECT inbox.* FROM inbox JOIN jobs USING (job_id, rev) WHERE inbox.document IS NOT NULL"
        " AND instr(inbox.document, '\"erase\":true') AND json_extract(inbox.document, '$.policy.erase')"
        " AND jobs.state IN ('completed', 'failed', 'cancelled', 'rejected', 'expired')"
    )
    return tuple(_entry(row) for row in connection.execute(query))


def document_bytes(connection: Connection) -> int:
    """Return the size of all documents that are kept."""
    return int(connection.execute("SELECT coalesce(sum(length(document)), 0) FROM inbox").fetchone()[0])


def forget_document(connection: Connection, job_id: str, rev: int) -> None:
    """Drop the text of an order that is over; the entry itself stays."""
    connection.execute("UPDATE inbox SET document = NULL WHERE job_id = ? AND rev = ?", (job_id, rev))


def _trim(connection: Connection, which: str, keep: int) -> None:
    connection.execute(
        f"DELETE FROM inbox WHERE {which} AND n <= ("  # noqa: S608 - constants
        f"SELECT n FROM inbox WHERE {which} ORDER BY n DESC LIMIT 1 OFFSET ?)"
        f" AND {_IS_OVER}",
        (keep,),
    )


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        job_id=row["job_id"],
        rev=row["rev"],
        digest=row["digest"],
        verdict=Verdict(row["verdict"]),
        detail=row["detail"],
        document=row["document"],
        expires_mono_ms=row["expires_mono_ms"],
        boot=row["boot"],
    )
