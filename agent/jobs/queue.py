"""The durable queue: jobs, prints, the bed latch and the events about them. Every call is one transaction."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.domain.artefact import Finding, Prepared, Severity
from agent.domain.errors import RefusedError
from agent.domain.events import Event, EventDraft, EventType, Stamp
from agent.domain.job import Job, JobState, Reason
from agent.domain.prints import Bed
from agent.jobs import orders, placement, policy, print_writes
from agent.jobs.ids import JOB_PREFIX, new_id
from agent.jobs.lookup import find_job
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.placement import At, Place
from agent.jobs.policy import QueueLimits
from agent.jobs.print_ledger import PrintLedger
from agent.storage import events as event_rows
from agent.storage import jobs as job_rows
from agent.storage import meta
from agent.storage import prints as print_rows
from agent.storage.artefacts import StoredArtefact
from agent.storage.clock import Clock
from agent.storage.database import Connection, Database

T = TypeVar("T")

# One answer of the API; whoever wants more asks again with the last number.
EVENTS_PER_READ = 500
_PREPARED = (JobState.RECEIVED, JobState.CHECKING, JobState.SLICING, JobState.VERIFYING)


@dataclass(frozen=True, slots=True)
class References:
    """SHA-256 of all files that jobs still need."""

    artefacts: frozenset[str]
    prepared: frozenset[str]


class Queue(PrintLedger):
    """The queue of this unit; event loop only. What a call returned is on disk.

    Ids may be full or a prefix that fits one job: NotFoundError for none, UsageError `ambiguous_id` for
    several. What a job's state does not allow raises RefusedError `wrong_state`. Any call can raise
    StorageError.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        limits: QueueLimits | None = None,
        rng: random.Random | None = None,
        seal: print_writes.Seal | None = None,
    ) -> None:
        super().__init__(database, clock, rng=rng, seal=seal)
        self._limits = limits or QueueLimits()

    async def open(self) -> None:
        """Report a database that replaced a damaged one; what is on the bed is not known then: occupied."""
        moved = self._database.moved_aside
        if moved is None:
            return

        def report(connection: Connection, stamp: Stamp) -> None:
            detail = f"the database was damaged and is kept as {moved.name}; the queue starts empty"
            draft = EventDraft(EventType.UNIT, detail, state="database_replaced", data={"file": moved.name})
            event_rows.append(connection, draft, stamp)
            print_writes.set_bed(connection, stamp, Bed.OCCUPIED, detail="what is on the bed is not known")

        await self._write(report)

    # Orders

    async def add(self, artefact: StoredArtefact, options: OrderOptions | None = None) -> Job:
        """Add a job at the end of the queue.

        Raises RefusedError `queue_full`, UsageError `bad_copies` or `bad_priority`.
        """
        order = options or OrderOptions()
        policy.check_order(order.copies, order.priority, self._limits)

        def insert(connection: Connection, stamp: Stamp) -> Job:
            policy.check_room(job_rows.count_unfinished(connection), self._limits)
            job_id = new_id(JOB_PREFIX, self._rng, lambda taken: job_rows.get(connection, taken) is not None)
            position = placement.next_position(job_rows.last_position(connection))
            job = orders.new_job(job_id, artefact, order, position, stamp.t_ms)
            job_rows.insert(connection, job)
            job_rows.forget_finished(connection, self._limits.kept_finished)
            event_rows.append(connection, orders.received(job), stamp)
            if order.is_held:
                job = print_writes.apply(
                    connection, stamp, job, JobEvent(Trigger.HELD, Reason.HOLD_REQUESTED)
                )
            return job

        return await self._write(insert)

    async def check_order(self, options: OrderOptions) -> None:
        """Raise what `add` would raise, before somebody uploads a file for nothing."""
        policy.check_order(options.copies, options.priority, self._limits)
        policy.check_room(await self._database.read(job_rows.count_unfinished), self._limits)

    async def list(self, *, include_over: bool = False) -> tuple[Job, ...]:
        """List unfinished jobs in queue order; with `include_over` then the finished ones, newest first."""

        def read(connection: Connection) -> tuple[Job, ...]:
            over = job_rows.finished(connection, self._limits.kept_finished) if include_over else ()
            return job_rows.unfinished(connection) + over

        return await self._database.read(read)

    async def get(self, job_id: str) -> Job:
        """Return one job."""
        return await self._database.read(lambda connection: find_job(connection, job_id))

    async def hold(self, job_id: str, reason: Reason = Reason.HOLD_REQUESTED, detail: str = "") -> Job:
        """Keep a waiting job from going on until it is released."""
        return await self.apply(job_id, JobEvent(Trigger.HELD, reason, detail))

    async def release(self, job_id: str) -> Job:
        """Let a held job go on where it was."""
        return await self.apply(job_id, JobEvent(Trigger.RELEASED))

    async def retry(self, job_id: str) -> Job:
        """Start a failed, cancelled or rejected job over. Raises RefusedError `queue_full`."""

        def write(connection: Connection, stamp: Stamp) -> Job:
            policy.check_room(job_rows.count_unfinished(connection), self._limits)
            job = find_job(connection, job_id)
            return print_writes.apply(connection, stamp, job, JobEvent(Trigger.RETRIED))

        return await self._write(write)

    async def cancel(self, job_id: str, reason: Reason = Reason.USER) -> Job:
        """End a job. A waiting or held one is cancelled when this returns.

        For a printing one the wish is put on record, durably; the print stage has the printer end it in
        order, and the job becomes `cancelled` with the end of its print.
        """

        def write(connection: Connection, stamp: Stamp) -> Job:
            job = find_job(connection, job_id)
            record = print_rows.running(connection)
            if job.state.is_active and record is not None and record.job_id == job.job_id:
                print_writes.request_cancel(connection, stamp, record, reason)
                return job
            return print_writes.apply(connection, stamp, job, JobEvent(Trigger.CANCELLED, reason))

        return await self._write(write)

    async def move(self, job_id: str, place: Place) -> Job:
        """Put a waiting or held job before another one or at a place (1 is next, -1 is last).

        Raises RefusedError `not_in_queue`, UsageError `bad_place`.
        """

        def write(connection: Connection, stamp: Stamp) -> Job:
            job = find_job(connection, job_id)
            before = place.before
            if before is not None:
                neighbour = find_job(connection, before)
                placement.demand_place(neighbour)
                before = neighbour.job_id
            changed = placement.placed(job_rows.unfinished(connection), job, At(place.to, before))
            for other in changed:
                job_rows.update(connection, replace(other, updated_ms=stamp.t_ms))
            moved = find_job(connection, job.job_id)
            event_rows.append(connection, orders.moved(moved), stamp)
            return moved

        return await self._write(write)

    # Stages

    async def apply(self, job_id: str, event: JobEvent) -> Job:
        """Advance a job by one event of the machine."""
        return await self._write(
            lambda connection, stamp: print_writes.apply(
                connection, stamp, find_job(connection, job_id), event
            )
        )

    async def next_to_prepare(
        self,
        profile_digest: str,
        *,
        besides: AbstractSet[str] = frozenset(),
        formats: AbstractSet[str] = frozenset(),
        other_formats: AbstractSet[str] = frozenset(),
    ) -> Job | None:
        """Return the first job that has to be checked, sliced or verified under this profile; none of `besides`.

        `formats`: only of files of these, empty for any; `other_formats`: of none of these.
        """
        chosen = job_rows.Chosen(besides, formats, other_formats)

        def read(connection: Connection) -> Job | None:
            # One candidate per kind: a long queue is not read for every change while a print runs.
            candidates = (
                *(job_rows.first(connection, state, chosen=chosen) for state in _PREPARED),
                job_rows.first(connection, JobState.READY, other_than=profile_digest, chosen=chosen),
            )
            return policy.next_to_prepare([job for job in candidates if job], profile_digest)

        return await self._database.read(read)

    async def next_to_print(
        self, profile_digest: str, *, is_auto_start: bool, requested: str | None
    ) -> Job | None:
        """Return the job to start now on a clear bed; `requested` is the full id of one that somebody asked for."""

        def read(connection: Connection) -> Job | None:
            candidates = (
                job_rows.active(connection),
                job_rows.first(connection, JobState.READY, profile=profile_digest),
                job_rows.get(connection, requested) if requested else None,
            )
            return policy.next_to_print(
                [job for job in candidates if job],
                bed=meta.bed(connection),
                profile_digest=profile_digest,
                is_auto_start=is_auto_start,
                requested=requested,
            )

        return await self._database.read(read)

    async def verified(self, job_id: str, prepared: Prepared) -> Job:
        """Make a verified job ready and keep what the gate learned about it."""
        warnings = [finding for finding in prepared.findings if finding.severity is Severity.WARNING]
        data = {"prepared_sha256": prepared.sha256, "lines": prepared.lines, "warnings": len(warnings)}

        def write(connection: Connection, stamp: Stamp) -> Job:
            event = JobEvent(Trigger.VERIFIED, detail=_first(warnings), data=data)
            job = print_writes.apply(connection, stamp, find_job(connection, job_id), event)
            job = replace(
                job,
                prepared_sha256=prepared.sha256,
                profile_digest=prepared.profile_digest,
                estimate_s=prepared.metadata.estimate_s or (prepared.times[-1] if prepared.times else None),
                filament_mm=prepared.metadata.filament_mm,
                layers=len(prepared.layers) or None,
            )
            job_rows.update(connection, job)
            return job

        return await self._write(write)

    async def references(self, *, kept_files: int | None = None) -> References:
        """Return which files are needed: by unfinished jobs and by the newest `kept_files` finished ones."""
        kept = self._limits.kept_files if kept_files is None else kept_files

        def read(connection: Connection) -> References:
            digests = job_rows.digests(connection, kept)
            record = print_rows.running(connection)
            prepared = {sha for _, sha in digests if sha} | ({record.prepared_sha256} if record else set())
            return References(frozenset(sha for sha, _ in digests), frozenset(prepared))

        return await self._database.read(read)

    # Bed, history, events

    async def bed(self) -> Bed:
        """Return the bed latch."""
        return await self._database.read(meta.bed)

    async def clear_bed(self, reason: Reason = Reason.USER) -> Bed:
        """Record that somebody cleared the bed. Raises RefusedError `bed_in_use` while a print is on it."""

        def write(connection: Connection, stamp: Stamp) -> Bed:
            record = print_rows.running(connection)
            if record is not None:
                raise RefusedError(
                    f"print {record.print_id} is {record.state.value}: the bed cannot be cleared now",
                    code="bed_in_use",
                    remedy="wait for its end, or cancel it: `fabunit cancel`",
                )
            print_writes.set_bed(connection, stamp, Bed.CLEAR, detail="the bed was cleared", reason=reason)
            return Bed.CLEAR

        return await self._write(write)

    async def events_after(self, seq: int, *, limit: int = EVENTS_PER_READ) -> tuple[Event, ...]:
        """List events with a greater number, oldest first."""
        return await self._database.read(lambda connection: event_rows.after(connection, seq, limit))

    async def newest_event(self) -> int:
        """Return the number of the newest event, 0 without any."""
        return await self._database.read(event_rows.newest_seq)

    async def record(self, draft: EventDraft) -> int:
        """Write a fact about the unit, the port or its safety; returns its number."""
        return await self._write(lambda connection, stamp: event_rows.append(connection, draft, stamp))

    async def transact(self, fn: Callable[[Connection, Stamp], T]) -> T:
        """Run `fn` as one transaction that changes jobs together with other tables; wakes whoever waits."""
        return await self._write(fn)


def _first(findings: Sequence[Finding]) -> str:
    return findings[0].message if findings else ""
