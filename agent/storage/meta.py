"""Table `meta`: single facts about the unit, one row each. Functions run inside the caller's transaction."""

from __future__ import annotations

from agent.domain.prints import Bed
from agent.storage.database import Connection


def epoch(connection: Connection) -> str:
    """Return the random name this database was born with; `(epoch, seq)` names an event for ever."""
    value = get(connection, "epoch")
    if value is None:
        raise ValueError("the meta table has no epoch: the initial migration writes it")
    return value


def bed(connection: Connection) -> Bed:
    """Return the bed latch."""
    return Bed(get(connection, "bed") or Bed.OCCUPIED)


def set_bed(connection: Connection, bed: Bed) -> None:
    """Write the bed latch."""
    put(connection, "bed", bed.value)


def acked_upto(connection: Connection) -> int | None:
    """Return the newest event a coordinator has on its own disk; None on a stand-alone unit."""
    value = get(connection, "acked_upto")
    return None if value is None else int(value)


def set_acked_upto(connection: Connection, seq: int) -> None:
    """Write the cumulative acknowledgement."""
    put(connection, "acked_upto", str(seq))


def get(connection: Connection, key: str) -> str | None:
    """Return the value of `key`, or None."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])


def put(connection: Connection, key: str, value: str) -> None:
    """Insert or replace the value of `key`."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
