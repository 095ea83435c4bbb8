"""What a coordinator does with each message, and what it has to say: the half to copy when writing your own.

Five rules, in the order of their importance:

1. Commit before you acknowledge, to the broker (PUBACK) and to the unit (`down/ack`).
2. Keep records by `(unit, epoch, seq)` and acknowledge the highest number below which nothing is missing.
3. Send the same bytes whenever you send a job again; a change is a new `rev`.
4. Publish `down/want`, retained: it heals every lost push. Answer `missing` with the documents.
5. Greet a unit that is born with your acknowledgements, its wants and what it has not got yet.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from agent.coordinator.documents import (
    Ack,
    Answer,
    AnswerKind,
    AnswerStatus,
    DocumentError,
    Want,
    parse_answer,
    parse_batch,
    parse_live,
    parse_presence,
    parse_unit,
)
from agent.coordinator.documents.job import MAX_WANTED
from agent.coordinator.standin import orders, records, units
from agent.coordinator.standin.ledger import Connection
from agent.coordinator.topics import ALL_STATE, ALL_UP, Topics, split

SUBSCRIPTIONS = (ALL_UP, ALL_STATE)
# More at once gains nothing and only makes the broker queue.
MAX_DUE = 16

Mark = tuple[str, int]
"""Table and row of a job or command."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message from the broker."""

    topic: str
    payload: bytes
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send, QoS 1. `mark` is what `sent` wants to hear when the broker has taken it."""

    topic: str
    payload: bytes
    retain: bool = False
    expiry_s: int | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that could not be used, or a unit's complaint about one of ours that nobody can place.

    It is acknowledged all the same, because it would come again for ever.
    """

    topic: str
    problem: str


def receive(connection: Connection, message: Arrived, now_ms: int) -> Refusal | None:
    """Take one message, within the caller's transaction. Nothing may be acknowledged before its commit."""
    place = split(message.topic)
    handler = _HANDLERS.get(place[1]) if place else None
    if place is None or handler is None or not message.payload:
        return None
    try:
        told = handler(connection, message, now_ms, place[0])
    except DocumentError as error:
        return Refusal(message.topic, error.message)
    if isinstance(told, Refusal):
        return told
    if told != place[0]:
        # The broker's access list lets a unit write only its own topics; what is inside must say the same.
        return Refusal(message.topic, f"the document says it is from {told}")
    return None


def connected(connection: Connection) -> None:
    """Note a new connection to the broker; within a transaction. What was on its way is said again."""
    records.repeat_acks(connection)
    orders.want_all_again(connection)


def due(connection: Connection, now_ms: int, in_flight: Container[Mark]) -> list[Outgoing]:
    """Return what has to be sent now: acknowledgements, wants, jobs, commands; within a transaction.

    Acknowledgements and wants count as sent with this call: they are repeated when the link breaks, the unit is
    born or sends again. Jobs and commands are due until `sent`; those in `in_flight` are on their way.
    """
    orders.expire(connection, now_ms)
    found = [
        Outgoing(Topics(ack.unit).ack, Ack(epoch=ack.epoch, upto=ack.upto, sent=now_ms).to_json())
        for ack in records.take_due_acks(connection)
    ]
    rows = connection.execute("UPDATE units SET want_sent = 1 WHERE want_sent = 0 RETURNING unit").fetchall()
    for row in rows:
        want = Want(v=1, jobs=orders.wanted(connection, row["unit"], now_ms, MAX_WANTED), sent=now_ms)
        found.append(Outgoing(Topics(row["unit"]).want, want.to_json(), retain=True))
    return found + _unsent(connection, now_ms, in_flight)


def sent(connection: Connection, mark: Mark) -> None:
    """Note that the broker has taken a job or command; within a transaction.

    It is no proof that the unit has it: jobs are healed by wants, commands expire.
    """
    kind, key = mark
    connection.execute(f"UPDATE {kind} SET is_sent = 1 WHERE rowid = ?", (key,))  # noqa: S608 - two constants


def _unsent(connection: Connection, now_ms: int, in_flight: Container[Mark]) -> list[Outgoing]:
    found = []
    for kind in ("jobs", "commands"):
        for row in orders.unsent(connection, kind, now_ms, MAX_DUE):
            mark = (kind, int(row["mark"]))
            if mark not in in_flight:
                topics = Topics(row["unit"])
                topic = topics.jobs if kind == "jobs" else topics.commands
                expiry_s = _expiry_s(row["expires_ms"], now_ms)
                found.append(Outgoing(topic, row["payload"], expiry_s=expiry_s, mark=mark))
    return found


def _expiry_s(expires_ms: int | None, now_ms: int) -> int | None:
    return None if expires_ms is None else max(1, -(-(expires_ms - now_ms) // 1000))


def _take_events(connection: Connection, message: Arrived, now_ms: int, unit: str) -> str:
    batch = parse_batch(message.payload, message.content_type)
    if batch.unit != unit:
        return batch.unit
    units.met(connection, unit, now_ms)
    for record in records.take(connection, batch, now_ms):
        orders.take_record(connection, unit, record)
    return batch.unit


def _take_presence(connection: Connection, message: Arrived, now_ms: int, unit: str) -> str:
    presence = parse_presence(message.payload, message.content_type)
    if presence.unit == unit:
        units.met(connection, unit, now_ms)
        units.take_presence(connection, presence)
    return presence.unit


def _take_state(connection: Connection, message: Arrived, now_ms: int, unit: str) -> str:
    document = parse_unit(message.payload, message.content_type)
    if document.unit == unit:
        units.met(connection, unit, now_ms)
        units.take_state(connection, document)
    return document.unit


def _take_live(connection: Connection, message: Arrived, now_ms: int, unit: str) -> str:
    sample = parse_live(message.payload, message.content_type)
    if sample.unit == unit:
        units.met(connection, unit, now_ms)
        units.take_live(connection, sample)
    return sample.unit


def _take_answer(connection: Connection, message: Arrived, now_ms: int, unit: str) -> str | Refusal:
    answer = parse_answer(message.payload, message.content_type)
    if answer.unit == unit:
        units.met(connection, unit, now_ms)
        if answer.status is AnswerStatus.FAILED and answer.job_id is None and answer.cmd_id is None:
            return Refusal(message.topic, f"{unit} refuses one of our documents: {answer.detail}")
        _follow(connection, answer, now_ms)
    return answer.unit


def _follow(connection: Connection, answer: Answer, now_ms: int) -> None:
    if answer.kind is AnswerKind.COMMAND:
        orders.take_command_answer(connection, answer)
    elif answer.kind is AnswerKind.JOB:
        orders.take_job_answer(connection, answer, now_ms)
    elif answer.kind is AnswerKind.WANT and answer.status is AnswerStatus.MISSING:
        orders.send_again(connection, answer.unit, answer.jobs or [])


_HANDLERS: dict[str, Callable[[Connection, Arrived, int, str], str | Refusal]] = {
    "up/events": _take_events,
    "up/live": _take_live,
    "up/results": _take_answer,
    "state/presence": _take_presence,
    "state/unit": _take_state,
}
