"""What a coordinator must do with records: keep each once, know how far they are complete, find what is missing.

This is the part of the protocol that loses or doubles events when it is wrong. A record is known by `(unit, epoch,
seq)`; `upto` counts only what lies on this coordinator's own disk without a hole.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.coordinator.documents import TELEMETRY, EventBatch, EventRecord
from agent.coordinator.standin.ledger import Connection


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Continuity:
    """How complete one unit's records of one epoch are.

    `repeated` records came more than once and were kept once: that is normal. `conflicts` came again with other
    content, `gaps` are lost for ever, `open` ranges are missing below newer ones that are here already.
    """

    unit: str
    epoch: str
    base: int
    upto: int
    received: int
    repeated: int
    conflicts: int
    gaps: tuple[Range, ...]
    open: tuple[Range, ...]

    @property
    def is_sound(self) -> bool:
        """Nothing is lost, missing or contradictory."""
        return not (self.gaps or self.open or self.conflicts)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Everything of `epoch` up to `upto` is on this coordinator's disk."""

    unit: str
    epoch: str
    upto: int


def take(connection: Connection, batch: EventBatch, now_ms: int) -> list[EventRecord]:
    """Keep the records of a batch and return those that are new, in order; within a transaction.

    After its commit `take_due_acks` says what may be told to the unit, and not before.
    """
    new = [record for record in batch.records if _insert(connection, batch.unit, record, now_ms)]
    for epoch in dict.fromkeys(record.epoch for record in batch.records):
        of_epoch = [record for record in batch.records if record.epoch == epoch]
        known = {record.seq for record in new if record.epoch == epoch}
        lowest = min(_low(record) for record in of_epoch)
        first = lowest if batch.first is None else min(batch.first, lowest)
        _advance(connection, batch.unit, epoch, first, is_first_told=batch.first is not None)
        connection.execute(
            "UPDATE progress SET received = received + ?, repeated = repeated + ? WHERE unit = ? AND epoch = ?",
            (len(known), len(of_epoch) - len(known), batch.unit, epoch),
        )
    return new


def take_due_acks(connection: Connection) -> list[Acknowledgement]:
    """Return the acknowledgements to be told now; they are not due again before something happens."""
    rows = connection.execute("SELECT unit, epoch, upto FROM progress WHERE ack_due = 1").fetchall()
    connection.execute("UPDATE progress SET ack_due = 0 WHERE ack_due = 1")
    return [Acknowledgement(row["unit"], row["epoch"], row["upto"]) for row in rows]


def repeat_acks(connection: Connection, unit: str | None = None) -> None:
    """Have all acknowledgements, or those of one unit, told again."""
    connection.execute("UPDATE progress SET ack_due = 1 WHERE ?1 IS NULL OR unit = ?1", (unit,))


def continuity(connection: Connection, unit: str | None = None) -> list[Continuity]:
    """Examine all records, or those of one unit."""
    rows = connection.execute(
        "SELECT * FROM progress WHERE ?1 IS NULL OR unit = ?1 ORDER BY unit, epoch", (unit,)
    ).fetchall()
    return [
        Continuity(
            unit=row["unit"],
            epoch=row["epoch"],
            base=row["base"],
            upto=row["upto"],
            received=row["received"],
            repeated=row["repeated"],
            conflicts=row["conflicts"],
            gaps=_gaps(connection, row["unit"], row["epoch"]),
            open=_open_ranges(connection, row["unit"], row["epoch"], row["upto"]),
        )
        for row in rows
    ]


def trim(connection: Connection, keep: int) -> None:
    """Forget the oldest records beyond `keep`, but none that is still needed for counting."""
    connection.execute(
        "DELETE FROM records WHERE n <= (SELECT MAX(n) FROM records) - ? AND seq <="
        " (SELECT upto FROM progress WHERE unit = records.unit AND epoch = records.epoch)",
        (keep,),
    )


def _insert(connection: Connection, unit: str, record: EventRecord, now_ms: int) -> bool:
    body = record.to_json().decode()
    cursor = connection.execute(
        "INSERT OR IGNORE INTO records (unit, epoch, seq, covers, type, job, state, arrived_ms, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            unit,
            record.epoch,
            record.seq,
            _low(record),
            record.type,
            record.job,
            record.state,
            now_ms,
            body,
        ),
    )
    if cursor.rowcount:
        return True
    if _contradicts(connection, unit, record, body):
        connection.execute(
            "UPDATE progress SET conflicts = conflicts + 1 WHERE unit = ? AND epoch = ?", (unit, record.epoch)
        )
    return False


def _contradicts(connection: Connection, unit: str, record: EventRecord, body: str) -> bool:
    """Tell whether a repeated record says something else. Merged telemetry and omissions may."""
    row = connection.execute(
        "SELECT body FROM records WHERE unit = ? AND epoch = ? AND seq = ?", (unit, record.epoch, record.seq)
    ).fetchone()
    if row["body"] == body or record.type == TELEMETRY or record.omitted is not None:
        return False
    return EventRecord.model_validate_json(row["body"]).omitted is None


def _low(record: EventRecord) -> int:
    """The lowest number a record stands for."""
    return min(record.seq, record.covers or record.seq)


def _advance(connection: Connection, unit: str, epoch: str, first: int, *, is_first_told: bool) -> None:
    """Move `upto` over everything that is here, and over what will never come."""
    row = connection.execute(
        "SELECT upto FROM progress WHERE unit = ? AND epoch = ?", (unit, epoch)
    ).fetchone()
    if row is None:
        # What a unit reported to somebody else before, and what a new coordinator never saw, is no gap.
        base = first - 1
        connection.execute(
            "INSERT INTO progress (unit, epoch, base, upto) VALUES (?, ?, ?, ?)", (unit, epoch, base, base)
        )
        upto = base
    else:
        upto = int(row["upto"])
    upto = _contiguous(connection, unit, epoch, upto)
    if is_first_told and upto < first - 1:
        for missing in _open_ranges(connection, unit, epoch, upto, below=first):
            connection.execute(
                "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?)", (unit, epoch, missing.first, missing.last)
            )
        upto = _contiguous(connection, unit, epoch, first - 1)
    # Due also when nothing was new: the unit sends again because it lacks the acknowledgement.
    connection.execute(
        "UPDATE progress SET upto = ?, ack_due = 1 WHERE unit = ? AND epoch = ?", (upto, unit, epoch)
    )


def _contiguous(connection: Connection, unit: str, epoch: str, upto: int) -> int:
    rows = connection.execute(
        "SELECT covers, seq FROM records WHERE unit = ? AND epoch = ? AND seq > ? ORDER BY covers, seq",
        (unit, epoch, upto),
    )
    for row in rows:
        if row["covers"] > upto + 1:
            break
        upto = max(upto, int(row["seq"]))
    return upto


def _open_ranges(
    connection: Connection, unit: str, epoch: str, upto: int, below: int | None = None
) -> tuple[Range, ...]:
    """List the holes behind `upto` that have records behind them, or that end at `below`."""
    rows = connection.execute(
        "SELECT covers, seq FROM records WHERE unit = ? AND epoch = ? AND seq > ? ORDER BY covers, seq",
        (unit, epoch, upto),
    )
    found: list[Range] = []
    for row in rows:
        if below is not None and row["covers"] >= below:
            break
        if row["covers"] > upto + 1:
            found.append(Range(upto + 1, row["covers"] - 1))
        upto = max(upto, int(row["seq"]))
    if below is not None and upto < below - 1:
        found.append(Range(upto + 1, below - 1))
    return tuple(found)


def _gaps(connection: Connection, unit: str, epoch: str) -> tuple[Range, ...]:
    rows = connection.execute(
        "SELECT first, last FROM gaps WHERE unit = ? AND epoch = ? ORDER BY first", (unit, epoch)
    )
    return tuple(Range(row["first"], row["last"]) for row in rows)
