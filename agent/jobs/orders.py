"""Orders: what is asked for besides the file, and the job that comes of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.events import EventDraft, EventType
from agent.domain.job import Job, JobState
from agent.storage.artefacts import StoredArtefact


@dataclass(frozen=True, slots=True)
class OrderOptions:
    """What is ordered besides the file. `source` says who ordered it."""

    copies: int = 1
    is_held: bool = False
    material: str | None = None
    quality: str | None = None
    priority: int = 0
    source: str = "local"


def new_job(job_id: str, artefact: StoredArtefact, order: OrderOptions, position: float, now_ms: int) -> Job:
    """Return the first form of a job for a stored artefact. Times are Unix milliseconds."""
    return Job(
        job_id=job_id,
        rev=1,
        state=JobState.RECEIVED,
        name=artefact.name,
        artefact_sha256=artefact.sha256,
        artefact_format=artefact.format,
        artefact_size=artefact.size,
        copies=order.copies,
        copies_done=0,
        position=position,
        priority=order.priority,
        source=order.source,
        material=order.material,
        quality=order.quality,
        reason=None,
        detail="",
        held_from=None,
        attempt=1,
        created_ms=now_ms,
        updated_ms=now_ms,
    )


def received(job: Job) -> EventDraft:
    """Return the event of a job's arrival."""
    data = {"event": "received", "name": job.name, "sha256": job.artefact_sha256, "copies": job.copies}
    return EventDraft(EventType.JOB, "", job.job_id, job.rev, state=job.state.value, data=data)


def moved(job: Job) -> EventDraft:
    """Return the event of a new place in the queue."""
    data = {"event": "moved", "priority": job.priority, "position": job.position}
    return EventDraft(EventType.JOB, "", job.job_id, job.rev, state=job.state.value, data=data)
