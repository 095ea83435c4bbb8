"""Work on a job for as long as the job wants it: a hold or a cancellation ends it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from agent.domain.job import Job, JobState
from agent.jobs.queue import Queue

T = TypeVar("T")


async def while_wanted(
    queue: Queue, job: Job, states: AbstractSet[JobState], work: Coroutine[Any, Any, T]
) -> T | None:
    """Return what `work` returns, None when the job left `states` before; the work is ended then, and awaited."""
    attempt = asyncio.create_task(work, name=f"work on {job.job_id}")
    unwanted = asyncio.create_task(_until_unwanted(queue, job, states), name=f"watch {job.job_id}")
    try:
        await asyncio.wait({attempt, unwanted}, return_when=asyncio.FIRST_COMPLETED)
        if attempt.done():
            return attempt.result()
        unwanted.result()
        return None
    finally:
        for task in (attempt, unwanted):
            task.cancel()
        await asyncio.gather(attempt, unwanted, return_exceptions=True)


async def _until_unwanted(queue: Queue, job: Job, states: AbstractSet[JobState]) -> None:
    version = queue.version
    while (await queue.get(job.job_id)).state in states:
        version = await queue.wait_changed(version)
