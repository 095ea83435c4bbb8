"""What a coordinator forgets: old commands, old orders, and files that no order needs any more."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from agent.coordinator.documents import JobDocument, parse_job, parse_job_message
from agent.coordinator.standin.ledger import Connection
from agent.coordinator.standin.orders import OVER

# An order that is over may be tried again at its unit, which then fetches the file again: within a week.
KEPT_MS = 7 * 24 * 3600 * 1000
KEPT_JOBS = 10_000


def tidy(connection: Connection, files_dir: Path, now_ms: int) -> None:
    """Forget what is old; within the caller's transaction. Raises OSError when a file cannot be deleted."""
    over = json.dumps(sorted(OVER))
    connection.execute("DELETE FROM commands WHERE expires_ms < ?", (now_ms - KEPT_MS,))
    connection.execute(
        "DELETE FROM jobs WHERE n <= (SELECT MAX(n) FROM jobs) - ?"
        " AND state IN (SELECT value FROM json_each(?))",
        (KEPT_JOBS, over),
    )
    needed = {
        _token(bytes(row["payload"]))
        for row in connection.execute(
            "SELECT payload FROM jobs WHERE created_ms >= ? OR state IS NULL"
            " OR state NOT IN (SELECT value FROM json_each(?))",
            (now_ms - KEPT_MS, over),
        )
    }
    for row in connection.execute("SELECT token, path FROM files").fetchall():
        if row["token"] not in needed:
            # First the file: a row without one is a 404, a file without a row would stay for ever.
            (files_dir / row["path"]).unlink(missing_ok=True)
            connection.execute("DELETE FROM files WHERE token = ?", (row["token"],))


def _token(payload: bytes) -> str:
    """Return the token in the URL of an order's file, empty where the file is in the order itself."""
    message = parse_job_message(payload)
    job = message if isinstance(message, JobDocument) else parse_job(base64.b64decode(message.payload))
    _, _, behind = (job.artefact.url or "").rpartition("/files/")
    return behind.partition("/")[0]
