"""The durable record of meshes: verdicts, questions to the maker, slices. Every call is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.job import Job, Reason
from agent.jobs import print_writes
from agent.jobs.lookup import find_job
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.queue import Queue
from agent.storage import events as event_rows
from agent.storage import meshes as mesh_rows
from agent.storage.database import Connection
from agent.storage.meshes import MeshRow


class MeshLedger:
    """What is known of the meshes of jobs; event loop only. What a call returned is on disk.

    Any call can raise StorageError; those that move a job RefusedError `wrong_state`.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def of(self, job: Job) -> MeshRow:
        """Return what is on record for the job's present attempt; an earlier one's is not its own."""
        return await self._queue.transact(lambda connection, _: _row(connection, job))

    async def judged(self, job: Job, checked: Mapping[str, Any], event: JobEvent, *, asks: str = "") -> Job:
        """Write a verdict together with what it does to the job.

        `asks` is the digest of the limits when the event is a question: the same one is asked once.
        """

        def write(connection: Connection, stamp: Stamp) -> Job:
            moved = print_writes.apply(connection, stamp, find_job(connection, job.job_id), event)
            row = _row(connection, job)
            mesh_rows.put(connection, replace(row, checked=dict(checked), asked=asks or row.asked))
            return moved

        return await self._queue.transact(write)

    async def sliced(self, job: Job, description: Mapping[str, Any], told: Mapping[str, Any]) -> Job:
        """Write with what the mesh was sliced and lead the job to the gate; `told` goes into the event."""

        def write(connection: Connection, stamp: Stamp) -> Job:
            event = JobEvent(Trigger.VERIFY_BEGAN, data={"slice": dict(told)})
            moved = print_writes.apply(connection, stamp, find_job(connection, job.job_id), event)
            mesh_rows.put(connection, replace(_row(connection, job), sliced=dict(description)))
            return moved

        return await self._queue.transact(write)

    async def postponed(self, job: Job, reason: Reason, detail: str, again_in_s: float) -> None:
        """Write that a stage failed for now and is tried again; the job stays where it is."""
        data = {"event": "postponed", "again_in_s": round(again_in_s)}
        draft = EventDraft(
            EventType.JOB,
            detail[:500],
            job.job_id,
            job.rev,
            state=job.state.value,
            reason=reason.value,
            data=data,
        )
        await self._queue.transact(lambda connection, stamp: event_rows.append(connection, draft, stamp))


def _row(connection: Connection, job: Job) -> MeshRow:
    row = mesh_rows.get(connection, job.job_id)
    return row if row is not None and row.attempt == job.attempt else MeshRow(job.job_id, job.attempt)
