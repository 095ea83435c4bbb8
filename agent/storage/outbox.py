"""The outbox: events that the coordinator does not have yet. Functions run inside the caller's transaction.

Table `events` is the outbox: a row is written in the transaction of the state change it reports, and counts as
undelivered until the coordinator's own acknowledgement (`events.acknowledge`) has passed its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.domain.events import Event
from agent.storage import events, meta
from agent.storage.database import Connection

_CONNECTS = "link_connects"
# A coordinator that asks for old records again gets them one answer at a time, like the others.
MAX_READ = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """A part of the outbox: `events` in order, why some of them go without content, and its bounds.

    `newest` is the highest number that exists, `held_from` the lowest undelivered one that is still on disk.
    """

    epoch: str
    events: tuple[Event, ...]
    omitted: Mapping[int, str]
    newest: int
    held_from: int


def join(connection: Connection) -> int:
    """Begin to keep events for a coordinator and return the acknowledged number; what was before is not sent."""
    acked = meta.acked_upto(connection)
    if acked is None:
        acked = events.newest_seq(connection)
        meta.set_acked_upto(connection, acked)
    return acked


def count_connect(connection: Connection) -> int:
    """Count one connection under this epoch, durably, so that a late last will is told from the present one."""
    count = int(meta.get(connection, _CONNECTS) or 0) + 1
    meta.put(connection, _CONNECTS, str(count))
    return count


def read(connection: Connection, after: int, limit: int, acked: int) -> Waiting:
    """Return up to `limit` events behind number `after`; everything up to `acked` is delivered."""
    found = events.after(connection, after, min(limit, MAX_READ))
    omitted: dict[int, str] = {}
    if found:
        rows = connection.execute(
            "SELECT seq, reason FROM omitted WHERE seq BETWEEN ? AND ?", (found[0].seq, found[-1].seq)
        )
        omitted = {row["seq"]: row["reason"] for row in rows}
    lowest = connection.execute("SELECT min(seq) FROM events WHERE seq > ?", (acked,)).fetchone()[0]
    return Waiting(meta.epoch(connection), found, omitted, events.newest_seq(connection), lowest or acked + 1)


def omit(connection: Connection, seq: int, reason: str) -> bool:
    """Have event `seq` delivered as a number with a reason instead of its content; returns whether that is new."""
    cursor = connection.execute(
        "INSERT INTO omitted (seq, reason) VALUES (?, ?) ON CONFLICT (seq) DO NOTHING", (seq, reason)
    )
    return cursor.rowcount > 0


def count_omitted(connection: Connection) -> int:
    """Count the events that go or went without their content."""
    return int(connection.execute("SELECT count(*) FROM omitted").fetchone()[0])
