"""Table `printers`: what was learned about the printer behind each port, one JSON object per port id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.domain.errors import UsageError
from agent.storage import meta
from agent.storage.clock import Clock
from agent.storage.database import Connection, Database

# A learned record is a few dozen numbers; anything near this size is a bug in its writer.
MAX_RECORD_BYTES = 64 * 1024
# Printers a unit has met; one is usual, a bench with changing adapters sees some more.
MAX_RECORDS = 64
_LAST = "printer"


class LearnedPrinters:
    """Loads and saves learned records; safe to use from the event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def load(self, port_id: str) -> dict[str, Any] | None:
        """Return what is known about the printer at `port_id`, or None."""
        return await self._database.read(lambda connection: get(connection, port_id))

    async def last(self) -> dict[str, Any] | None:
        """Return the record that was saved last: the printer this unit was connected to."""
        return await self._database.read(last)

    async def records(self) -> list[dict[str, Any]]:
        """Return every record, the one that was saved last first; at most MAX_RECORDS."""
        return await self._database.read(records)

    async def save(self, port_id: str, learned: Mapping[str, Any]) -> None:
        """Replace what is known; the oldest record beyond MAX_RECORDS goes.

        Raises UsageError `record_too_large` above MAX_RECORD_BYTES.
        """
        updated_ms = self._clock.stamp().t_ms
        await self._database.run(lambda connection: put(connection, port_id, learned, updated_ms))


def get(connection: Connection, port_id: str) -> dict[str, Any] | None:
    """Return the record of `port_id`, or None."""
    row = connection.execute("SELECT learned FROM printers WHERE port_id = ?", (port_id,)).fetchone()
    return None if row is None else dict(json.loads(row["learned"]))


def last(connection: Connection) -> dict[str, Any] | None:
    """Return the record that was saved last, or None. Wall time says nothing about that: clocks step."""
    port_id = meta.get(connection, _LAST)
    return None if port_id is None else get(connection, port_id)


def records(connection: Connection) -> list[dict[str, Any]]:
    """Return all records, the one that was saved last first."""
    latest = meta.get(connection, _LAST)
    rows = connection.execute(
        "SELECT learned FROM printers ORDER BY port_id = ? DESC, updated_ms DESC, port_id LIMIT ?",
        (latest or "", MAX_RECORDS),
    ).fetchall()
    return [dict(json.loads(row["learned"])) for row in rows]


def put(connection: Connection, port_id: str, learned: Mapping[str, Any], updated_ms: int) -> None:
    """Insert or replace the record of `port_id`."""
    text = json.dumps(learned, separators=(",", ":"), sort_keys=True)
    if len(text.encode("utf-8")) > MAX_RECORD_BYTES:
        raise UsageError(
            f"the learned record of {port_id} is larger than {MAX_RECORD_BYTES} bytes",
            code="record_too_large",
        )
    connection.execute(
        "INSERT INTO printers (port_id, learned, updated_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (port_id) DO UPDATE SET learned = excluded.learned, updated_ms = excluded.updated_ms",
        (port_id, text, updated_ms),
    )
    meta.put(connection, _LAST, port_id)
    connection.execute(
        "DELETE FROM printers WHERE port_id IN"
        " (SELECT port_id FROM printers ORDER BY port_id = ? DESC, updated_ms DESC, port_id LIMIT -1 OFFSET ?)",
        (port_id, MAX_RECORDS),
    )
