"""How the prints of this unit ended so far. Functions run inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass

from agent.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Tally:
    """Prints on record by outcome, the hours they ran, and the filament of completed ones in grams (estimated)."""

    completed: int
    failed: int
    cancelled: int
    hours: float


def tally(connection: Connection) -> Tally:
    """Count the prints that are over and still on record."""
    rows = connection.execute(
        "SELECT state, count(*) AS n, sum(max(ended_ms - started_ms, 0)) AS ms FROM prints"
        " WHERE ended_ms IS NOT NULL GROUP BY state"
    ).fetchall()
    counts = {row["state"]: int(row["n"]) for row in rows}
    hours = sum(int(row["ms"]) for row in rows) / 3_600_000
    return Tally(
        counts.get("completed", 0), counts.get("failed", 0), counts.get("cancelled", 0), round(hours, 2)
    )
