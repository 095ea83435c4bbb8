"""Table `events`: the numbered history and outbox (P5). Functions run inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3

from agent.domain.errors import UsageError
from agent.domain.events import ClockState, Event, EventDraft, EventType, Stamp
from agent.storage import meta
from agent.storage.database import Connection

# About 20 MB of rows: years of a stand-alone unit, and the check at start stays short.
HISTORY_LIMIT = 50_000
# Where a coordinator stays away for years, the card must not fill up: beyond this the oldest go, acknowledged or not.
UNDELIVERED_LIMIT = 250_000
# Trimming is one range delete; doing it rarely keeps it out of most transactions.
TRIM_EVERY = 200


def append(connection: Connection, draft: EventDraft, stamp: Stamp) -> int:
    """Write one event and return its sequence number. The history is bounded as `trim` says."""
    cursor = connection.execute(
        "INSERT INTO events (type, job_id, rev, print_id, state, reason, detail, t_ms, mono_ms, boot, clk,"
        " data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            draft.type.value,
            draft.job_id,
            draft.rev,
            draft.print_id,
            draft.state,
            draft.reason,
            draft.detail,
            stamp.t_ms,
            stamp.mono_ms,
            stamp.boot,
            stamp.clk.value,
            json.dumps(draft.data, separators=(",", ":"), sort_keys=True),
        ),
    )
    seq = int(cursor.lastrowid or 0)
    if seq % TRIM_EVERY == 0:
        trim(connection, HISTORY_LIMIT)
    return seq


def trim(connection: Connection, keep: int) -> int:
    """Remove all but the newest `keep` events and those a coordinator lacks; returns the rows removed.

    What a coordinator lacks is kept up to UNDELIVERED_LIMIT events.
    """
    newest = newest_seq(connection)
    upto = newest - keep
    acked = meta.acked_upto(connection)
    if acked is not None:
        upto = max(min(upto, acked), newest - UNDELIVERED_LIMIT)
    return connection.execute("DELETE FROM events WHERE seq <= ?", (upto,)).rowcount


def after(connection: Connection, seq: int, limit: int) -> tuple[Event, ...]:
    """Return up to `limit` events with a number above `seq`, oldest first."""
    epoch = meta.epoch(connection)
    rows = connection.execute("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
    return tuple(_event(epoch, row) for row in rows)


def of_print(connection: Connection, print_id: str) -> tuple[Event, ...]:
    """Return all events of one print that are still kept, oldest first."""
    epoch = meta.epoch(connection)
    rows = connection.execute("SELECT * FROM events WHERE print_id = ? ORDER BY seq", (print_id,))
    return tuple(_event(epoch, row) for row in rows)


def newest_seq(connection: Connection) -> int:
    """Return the number of the newest event ever written, 0 when there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if row is None else int(row["seq"])


def acknowledge(connection: Connection, epoch: str, upto: int) -> int:
    """Note a cumulative acknowledgement and return what is acknowledged now; it never moves backwards.

    Raises UsageError for another epoch or for events that were never written.
    """
    if epoch != meta.epoch(connection) or upto > newest_seq(connection):
        raise UsageError(
            f"acknowledgement of ({epoch}, {upto}) does not fit this database",
            code="ack_unknown",
            remedy="the coordinator has state of another unit or of a lost database: ask it for a rebirth",
        )
    now = max(upto, meta.acked_upto(connection) or 0)
    meta.set_acked_upto(connection, now)
    return now


def _event(epoch: str, row: sqlite3.Row) -> Event:
    return Event(
        epoch=epoch,
        seq=row["seq"],
        type=EventType(row["type"]),
        job_id=row["job_id"],
        rev=row["rev"],
        print_id=row["print_id"],
        state=row["state"],
        reason=row["reason"],
        detail=row["detail"],
        t_ms=row["t_ms"],
        mono_ms=row["mono_ms"],
        boot=row["boot"],
        data=json.loads(row["data"]),
        clk=ClockState(row["clk"]),
    )
