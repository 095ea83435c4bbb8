"""Which job is next, and what may be kept: decisions over the whole queue. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.domain.errors import RefusedError, UsageError
from agent.domain.job import Job, JobState
from agent.domain.prints import Bed

# Beyond this a "highest priority" loses its meaning; the coordinator uses the same range.
MAX_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much the queue takes (P11); what is beyond is refused, or forgotten oldest first.

    `max_jobs` counts unfinished jobs, `kept_finished` finished ones in the history, `kept_files` the newest
    finished jobs whose files stay on disk so that a retry needs no upload.
    """

    max_jobs: int = 1000
    max_copies: int = 1000
    kept_finished: int = 1000
    kept_files: int = 20


def queue_key(job: Job) -> tuple[int, float, str]:
    """Sort key of the queue: higher priority first, then the place, then the id to make it total."""
    return (-job.priority, job.position, job.job_id)


_TO_PREPARE = frozenset({JobState.RECEIVED, JobState.CHECKING, JobState.SLICING, JobState.VERIFYING})


def next_to_prepare(jobs: Sequence[Job], profile_digest: str) -> Job | None:
    """Return the first job that needs work before it is ready: new, interrupted, or ready under another profile."""
    wanted = (
        job
        for job in jobs
        if job.state in _TO_PREPARE or (job.state is JobState.READY and job.profile_digest != profile_digest)
    )
    return min(wanted, key=queue_key, default=None)


def next_to_print(
    jobs: Sequence[Job], *, bed: Bed, profile_digest: str, is_auto_start: bool, requested: str | None
) -> Job | None:
    """Return the job to start now, or None.

    Nothing starts on an occupied bed or beside another print. A job somebody asked for by id goes first;
    without auto-start it is the only one that goes.
    """
    if bed is not Bed.CLEAR or any(job.state.is_active for job in jobs):
        return None
    ready = [job for job in jobs if job.state is JobState.READY and job.profile_digest == profile_digest]
    for job in ready:
        if job.job_id == requested:
            return job
    return min(ready, key=queue_key, default=None) if is_auto_start else None


def check_order(copies: int, priority: int, limits: QueueLimits) -> None:
    """Check the figures of a new order. Raises UsageError."""
    if not 1 <= copies <= limits.max_copies:
        raise UsageError(f"copies is {copies}; 1 to {limits.max_copies} are possible", code="bad_copies")
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise UsageError(
            f"priority is {priority}; {-MAX_PRIORITY} to {MAX_PRIORITY} are possible", code="bad_priority"
        )


def check_room(unfinished: int, limits: QueueLimits) -> None:
    """Check that one more job fits. Raises RefusedError `queue_full`."""
    if unfinished >= limits.max_jobs:
        raise RefusedError(
            f"the queue holds {unfinished} jobs, its limit is {limits.max_jobs}",
            code="queue_full",
            remedy="cancel jobs that are not needed, or wait until some are done",
        )
