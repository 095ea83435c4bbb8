"""Jobs in: every order is on disk, or refused for good, before the broker hears that it arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from agent.coordinator import orders
from agent.coordinator.answers import Answers
from agent.coordinator.availability import Accept, Week
from agent.coordinator.documents import (
    Answer,
    AnswerKind,
    AnswerStatus,
    DocumentError,
    JobDocument,
    Problem,
    Want,
    WantedJob,
    parse_want,
)
from agent.coordinator.messages import Incoming
from agent.coordinator.orders import Fate, Standing, Start
from agent.coordinator.requirements import Abilities, unmet
from agent.coordinator.timekeeper import WAIT_DETAIL, window
from agent.coordinator.timing import CoordinatorClock, Now, Timeliness, judge
from agent.domain.errors import FabunitError, RefusedError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.job import Job, Reason
from agent.jobs import policy
from agent.jobs.machine import Trigger
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage import inbox as inbox_rows
from agent.storage import jobs as job_rows
from agent.storage.clock import Clock
from agent.storage.database import Connection, Database
from agent.storage.inbox import Entry, Verdict

# Beyond this many undelivered records the unit takes no new orders: it would have to lose the records of old ones.
MAX_UNDELIVERED = 100_000
# Orders with inline files wait in the database: a thousand of the largest would fill a small card.
MAX_DOCUMENTS_BYTES = 64 * 1024 * 1024
# A refused document is an event; an attacker's flood of them is one event a minute.
REPORT_EVERY_S = 60.0

_log = structlog.get_logger(__name__)


class JobVerifier(Protocol):
    """Reads job documents and checks their signatures."""

    def job(self, payload: bytes, content_type: str | None = None) -> JobDocument:
        """Return the order. Raises DocumentError, RefusedError (unsigned, bad signature, wrong unit)."""
        ...


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the maker set: when jobs are taken, and how many the queue holds."""

    week: Week
    limits: QueueLimits


class Inbox:
    """Takes orders and wants; event loop only. What a call returned an answer for is on disk.

    `abilities` is asked with the id of a job: what an earlier revision of it was promised is free for it.
    """

    def __init__(
        self,
        queue: Queue,
        database: Database,
        *,
        clock: Clock,
        answers: Answers,
        verifier: JobVerifier,
        abilities: Callable[[str], Awaitable[Abilities]],
        acceptance: Acceptance,
        coordinator_clock: CoordinatorClock,
        undelivered: Callable[[], int],
    ) -> None:
        self._queue = queue
        self._database = database
        self._clock = clock
        self._answers = answers
        self._verifier = verifier
        self._abilities = abilities
        self._acceptance = acceptance
        self._time = coordinator_clock
        self._undelivered = undelivered
        self._reported: dict[str, tuple[float, int]] = {}

    async def job(self, message: Incoming) -> Answer:
        """Take what came on `down/jobs`. Raises StorageError: then the broker must deliver it again."""
        try:
            document = self._verifier.job(message.payload, message.content_type)
        except DocumentError as error:
            await self._report(error)
            return self._answers.malformed(AnswerKind.JOB, error)
        except RefusedError as error:
            await self._report(error)
            return self._answers.refused(AnswerKind.JOB, error)
        stamp = self._clock.stamp()
        if not message.retain:
            self._time.hear(document.sent, stamp)
        digest = orders.content_digest(document)
        entry = self._entry(document, digest, message.expiry_s, stamp)
        start = self._start(document, entry, self._time.now(stamp), await self._abilities(document.job_id))

        def write(connection: Connection, stamp: Stamp) -> Standing:
            standing = orders.known(connection, document, digest)
            if standing.fate is not Fate.NEW:
                return standing
            if start.trigger is not Trigger.REJECTED:
                self._demand_room(connection)
            verdict = Verdict.REJECTED if start.trigger is Trigger.REJECTED else Verdict.TAKEN
            entered = Entry(
                entry.job_id,
                entry.rev,
                digest,
                verdict,
                start.detail,
                entry.document,
                entry.expires_mono_ms,
                entry.boot,
            )
            job = orders.enter(connection, stamp, document, entered, start)
            return Standing(Fate.NEW, job.state.value, start.detail)

        try:
            standing = await self._queue.transact(write)
        except RefusedError as error:
            return self._answers.job(document, AnswerStatus.FAILED, error.code, error.told)
        return self._standing_answer(document, standing, start)

    async def want(self, message: Incoming) -> Answer:
        """Compare what came on `down/want` with what is here; the answer names what is missing."""
        try:
            want = parse_want(message.payload, message.content_type)
        except DocumentError as error:
            await self._report(error)
            return self._answers.malformed(AnswerKind.WANT, error)
        # A retained message may be years old: its sending time says nothing.
        return await self.missing(want)

    async def missing(self, want: Want) -> Answer:
        """Return which of the wanted jobs never arrived."""

        def read(connection: Connection) -> list[WantedJob]:
            lacking = []
            for wanted in want.jobs:
                newest = inbox_rows.newest(connection, wanted.job_id)
                if newest is None or newest.rev < wanted.rev:
                    lacking.append(wanted)
            return lacking

        lacking = await self._database.read(read) if want.jobs else []
        status = AnswerStatus.MISSING if lacking else AnswerStatus.DONE
        return self._answers.answer(AnswerKind.WANT, status, jobs=lacking or None)

    async def cancel(self, job_id: str, rev: int | None) -> Job | None:
        """Cancel an order; one that is not here yet leaves a tombstone (then None is returned).

        Raises RefusedError when the job's state does not allow it, or for a local job.
        """

        def bury(connection: Connection, stamp: Stamp) -> bool:
            job = job_rows.get(connection, job_id)
            newest = inbox_rows.newest(connection, job_id)
            if job is not None or (newest is not None and (rev is None or newest.rev >= rev)):
                return False
            orders.bury(connection, stamp, job_id, rev, stamp.boot)
            return True

        if await self._queue.transact(bury):
            return None
        return await self._queue.cancel(job_id, Reason.COORDINATOR)

    # Decisions

    def _start(self, document: JobDocument, entry: Entry, now: Now, abilities: Abilities) -> Start:
        problems = unmet(document, abilities)
        if problems:
            return Start(Trigger.REJECTED, Reason.REQUIREMENT, _sentences(problems))
        timeliness = judge(window(document, entry), now)
        if timeliness is Timeliness.LATE:
            return Start(Trigger.EXPIRED, Reason.EXPIRED, "it came too late")
        accept = self._accept(now)
        if accept == "never":
            return Start(Trigger.REJECTED, Reason.NOT_ACCEPTED, "this unit takes no jobs at this hour")
        # Approval comes before time: the release leads to the wait for the hour, not past it.
        if accept == "ask":
            return Start(Trigger.HELD, Reason.APPROVAL, "a person has to release it: `fabunit job release`")
        if not document.policy.auto_start:
            return Start(Trigger.HELD, Reason.APPROVAL, "ordered to wait for a person's release")
        if timeliness is not Timeliness.DUE:
            return Start(Trigger.HELD, Reason.NOT_BEFORE, WAIT_DETAIL[timeliness])
        return Start()

    def _accept(self, now: Now) -> Accept:
        if now.known_ms is None:
            # Without the time a unit that is not always open asks.
            return (
                self._acceptance.week.at(0, 0)
                if len(set("".join(self._acceptance.week.days))) == 1
                else "ask"
            )
        local = datetime.fromtimestamp(now.known_ms / 1000).astimezone()
        return self._acceptance.week.at(local.weekday(), local.hour)

    def _demand_room(self, connection: Connection) -> None:
        policy.check_room(job_rows.count_unfinished(connection), self._acceptance.limits)
        if inbox_rows.document_bytes(connection) > MAX_DOCUMENTS_BYTES:
            raise RefusedError(
                "the documents of waiting orders fill their share of the disk", code="inbox_full"
            )
        waiting = self._undelivered()
        if waiting >= MAX_UNDELIVERED:
            raise RefusedError(
                f"{waiting} records wait for the coordinator: no new orders until it has them",
                code="outbox_full",
                remedy="acknowledge records on down/ack",
            )

    def _entry(self, document: JobDocument, digest: str, expiry_s: int | None, stamp: Stamp) -> Entry:
        return Entry(
            document.job_id,
            document.rev,
            digest,
            Verdict.TAKEN,
            document=document.to_json().decode(),
            # Only an order that expires at all: brokers cap the life of any message.
            expires_mono_ms=stamp.mono_ms + expiry_s * 1000
            if expiry_s is not None and document.expires is not None
            else None,
            boot=stamp.boot,
        )

    # Answers

    def _standing_answer(self, document: JobDocument, standing: Standing, start: Start) -> Answer:
        state, detail = standing.state, standing.detail
        if standing.fate is Fate.NEW:
            if start.trigger in (Trigger.REJECTED, Trigger.EXPIRED):
                code = start.reason.value if start.reason else None
                return self._answers.job(document, AnswerStatus.FAILED, code, detail, state)
            return self._answers.job(document, AnswerStatus.ACCEPTED, None, detail, state)
        if standing.fate is Fate.DUPLICATE:
            return self._answers.job(document, AnswerStatus.DUPLICATE, None, detail, state)
        return self._answers.job(
            document, AnswerStatus.FAILED, standing.fate.value, _FATE_DETAIL[standing.fate], state
        )

    async def _report(self, error: FabunitError) -> None:
        """Put a refused document on record: at most once a minute for each code, with the count of the others."""
        now = asyncio.get_running_loop().time()
        told_s, silent = self._reported.get(error.code, (-REPORT_EVERY_S, 0))
        if now - told_s < REPORT_EVERY_S:
            self._reported[error.code] = (told_s, silent + 1)
            return
        self._reported[error.code] = (now, 0)
        data = {"code": error.code, "more": silent}
        draft = EventDraft(EventType.UNIT, error.message[:500], state="document_refused", data=data)
        await self._queue.record(draft)


_FATE_DETAIL = {
    Fate.CONTENT_DIFFERS: "this revision is known with other content; a change needs a new rev",
    Fate.STALE_REV: "a newer revision is known",
    Fate.ID_TAKEN: "a job that was added at the unit has this id",
    Fate.JOB_PRINTING: "an earlier revision is on the printer: cancel it first",
}


def _sentences(problems: tuple[Problem, ...]) -> str:
    return "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
