"""Table `meshes`: check and slice of a job's mesh, one row per job. Functions run inside the caller's transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agent.storage.database import Connection


@dataclass(frozen=True, slots=True)
class MeshRow:
    """What is on record about the mesh of a job's `attempt`.

    `asked`: the digest of the limits under whose verdict a person was asked, empty when nobody was. `checked` and
    `sliced` are the JSON objects that were written, None before.
    """

    job_id: str
    attempt: int
    asked: str = ""
    checked: dict[str, Any] | None = None
    sliced: dict[str, Any] | None = None


def get(connection: Connection, job_id: str) -> MeshRow | None:
    """Return the row of exactly this job."""
    row = connection.execute(
        "SELECT job_id, attempt, asked, checked, sliced FROM meshes WHERE job_id = ?", (job_id,)
    ).fetchone()
    if row is None:
        return None
    job, attempt, asked, checked, sliced = row
    return MeshRow(job, attempt, asked, _read(checked), _read(sliced))


def put(connection: Connection, row: MeshRow) -> None:
    """Write the row, over an older one of the same job."""
    connection.execute(
        "INSERT OR REPLACE INTO meshes (job_id, attempt, asked, checked, sliced) VALUES (?, ?, ?, ?, ?)",
        (row.job_id, row.attempt, row.asked, _written(row.checked), _written(row.sliced)),
    )


def _written(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"), allow_nan=False)


def _read(text: str | None) -> dict[str, Any] | None:
    value = None if text is None else json.loads(text)
    return value if isinstance(value, dict) else None
