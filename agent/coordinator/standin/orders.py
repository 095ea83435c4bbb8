"""Jobs and commands the coordinator has given: what was sent, what the unit answered, how they stand."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from agent.coordinator.documents import Answer, AnswerStatus, EventRecord, WantedJob
from agent.coordinator.standin.ledger import Connection

REFUSED = "refused"
"""The state of a job whose document the unit did not take; the answer says why."""
OVER = frozenset({"completed", "failed", "rejected", "cancelled", "expired", "replaced", REFUSED})
# The order is good, the unit has no room for it now.
_LATER = frozenset({"queue_full", "inbox_full", "outbox_full", "job_printing"})
LATER_MS = 60_000


@dataclass(frozen=True, slots=True)
class Order:
    """A job at the coordinator. `state` is None until the unit has answered."""

    job_id: str
    rev: int
    unit: str
    name: str
    state: str | None
    detail: str

    @property
    def is_over(self) -> bool:
        """Nothing more is expected of it."""
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A job to be given to a unit: `payload` is what will be sent, byte for byte, each time."""

    job_id: str
    rev: int
    unit: str
    name: str
    payload: bytes
    expires_ms: int | None = None


def add_job(connection: Connection, order: NewOrder, now_ms: int) -> None:
    """Put a job on record; the server sends it."""
    connection.execute(
        "INSERT INTO jobs (job_id, rev, unit, name, payload, expires_ms, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (order.job_id, order.rev, order.unit, order.name, order.payload, order.expires_ms, now_ms),
    )
    _want_again(connection, order.unit)


def jobs(connection: Connection, unit: str | None = None, job_id: str | None = None) -> list[Order]:
    """List jobs, oldest first."""
    rows = connection.execute(
        "SELECT * FROM jobs WHERE (?1 IS NULL OR unit = ?1) AND (?2 IS NULL OR job_id = ?2) ORDER BY n",
        (unit, job_id),
    )
    return [
        Order(row["job_id"], row["rev"], row["unit"], row["name"], row["state"], row["detail"])
        for row in rows
    ]


def wanted(connection: Connection, unit: str, now_ms: int, limit: int) -> list[WantedJob]:
    """List the jobs a unit should have: those that are not over, the oldest first."""
    rows = connection.execute(
        "SELECT job_id, rev FROM jobs WHERE unit = ? AND (expires_ms IS NULL OR expires_ms > ?)"
        " AND (state IS NULL OR state NOT IN (SELECT value FROM json_each(?)))"
        " AND rev = (SELECT MAX(rev) FROM jobs AS other WHERE other.job_id = jobs.job_id)"
        " ORDER BY n LIMIT ?",
        (unit, now_ms, json.dumps(sorted(OVER)), limit),
    )
    return [WantedJob(job_id=row["job_id"], rev=row["rev"]) for row in rows]


def take_record(connection: Connection, unit: str, record: EventRecord) -> None:
    """Follow a job's state through the unit's records. They may come again, but never count twice."""
    if record.type != "job" or record.job is None or record.state is None:
        return
    rev = record.rev or 1
    row = connection.execute(
        "SELECT state, state_epoch, state_seq FROM jobs WHERE unit = ? AND job_id = ? AND rev = ?",
        (unit, record.job, rev),
    ).fetchone()
    if row is None or (row["state_epoch"] == record.epoch and row["state_seq"] >= record.seq):
        return
    connection.execute(
        "UPDATE jobs SET state = ?, detail = ?, state_epoch = ?, state_seq = ?"
        " WHERE unit = ? AND job_id = ? AND rev = ?",
        (record.state, record.detail, record.epoch, record.seq, unit, record.job, rev),
    )
    if (row["state"] in OVER) != (record.state in OVER):
        _want_again(connection, unit)


def take_job_answer(connection: Connection, answer: Answer, now_ms: int) -> None:
    """Take what the unit says to a job document; one it has no room for is sent again later."""
    key = (answer.unit, answer.job_id, answer.rev or 1)
    if answer.code in _LATER:
        connection.execute(
            "UPDATE jobs SET is_sent = 0, retry_ms = ?, detail = ? WHERE unit = ? AND job_id = ? AND rev = ?",
            (now_ms + LATER_MS, answer.detail, *key),
        )
        return
    state = answer.state or (REFUSED if answer.status is AnswerStatus.FAILED else None)
    if state is None:
        return
    # Records tell more: an answer counts only while none has come.
    connection.execute(
        "UPDATE jobs SET state = ?, detail = ? WHERE unit = ? AND job_id = ? AND rev = ? AND state_seq = 0",
        (state, answer.detail, *key),
    )
    if state in OVER:
        _want_again(connection, answer.unit)


def send_again(connection: Connection, unit: str, missing: list[WantedJob]) -> None:
    """Have the documents sent that a unit lacks."""
    connection.executemany(
        "UPDATE jobs SET is_sent = 0 WHERE unit = ? AND job_id = ? AND rev = ?",
        [(unit, job.job_id, job.rev) for job in missing],
    )


def add_command(connection: Connection, unit: str, cmd_id: str, payload: bytes, expires_ms: int) -> None:
    """Put a command on record; the server sends it while it is valid."""
    connection.execute(
        "INSERT INTO commands (cmd_id, unit, payload, expires_ms) VALUES (?, ?, ?, ?)",
        (cmd_id, unit, payload, expires_ms),
    )


def take_command_answer(connection: Connection, answer: Answer) -> None:
    """Take what the unit says to a command; `done` and `failed` are its last words."""
    connection.execute(
        "UPDATE commands SET status = ?, answer = ? WHERE unit = ? AND cmd_id = ? AND status NOT IN ('done', 'failed')",
        (answer.status.value, answer.to_json().decode(), answer.unit, answer.cmd_id),
    )


def command_answer(connection: Connection, cmd_id: str) -> tuple[str, dict[str, Any] | None]:
    """Return (status, answer) of a command; statuses are waiting, late, accepted, done, failed."""
    row = connection.execute("SELECT status, answer FROM commands WHERE cmd_id = ?", (cmd_id,)).fetchone()
    if row is None:
        return "waiting", None
    return str(row["status"]), json.loads(row["answer"]) if row["answer"] else None


def expire(connection: Connection, now_ms: int) -> None:
    """Close commands and jobs whose time is over without a word from their unit."""
    connection.execute(
        "UPDATE commands SET status = 'late' WHERE status = 'waiting' AND expires_ms <= ?", (now_ms,)
    )
    late = connection.execute(
        "UPDATE jobs SET state = 'expired', detail = 'the unit did not answer in time'"
        " WHERE state IS NULL AND expires_ms <= ? RETURNING unit",
        (now_ms,),
    ).fetchall()
    for unit in {row["unit"] for row in late}:
        _want_again(connection, unit)


def want_all_again(connection: Connection) -> None:
    """Have the wants of all units told again."""
    connection.execute("UPDATE units SET want_sent = 0")


def unsent(connection: Connection, kind: str, now_ms: int, limit: int) -> list[sqlite3.Row]:
    """Return rows of `jobs` or `commands` to be sent now: `mark`, `unit`, `payload`, `expires_ms`."""
    later = " AND retry_ms <= ?2" if kind == "jobs" else ""
    return connection.execute(
        f"SELECT rowid AS mark, unit, payload, expires_ms FROM {kind} WHERE is_sent = 0"  # noqa: S608 - constants
        f" AND (expires_ms IS NULL OR expires_ms > ?2){later} ORDER BY rowid LIMIT ?1",
        (limit, now_ms),
    ).fetchall()


def _want_again(connection: Connection, unit: str) -> None:
    connection.execute("UPDATE units SET want_sent = 0 WHERE unit = ?", (unit,))
