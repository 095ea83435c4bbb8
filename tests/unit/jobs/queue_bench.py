"""Jobs on their way through a queue, and what is left on record."""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.artefact import Prepared
from agent.domain.job import Job, Reason
from agent.domain.prints import OutcomeState, PrintOutcome, PrintRecord
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.queue import Queue
from agent.storage.artefacts import StoredArtefact

Stored = Callable[..., StoredArtefact]
MakePrepared = Callable[..., Prepared]

DONE = PrintOutcome(OutcomeState.COMPLETED, None, "", 1, {"resends": 2})
FAILED = PrintOutcome(OutcomeState.FAILED, Reason.PORT_LOST, "unplugged", 1)


async def ready_job(queue: Queue, stored: Stored, prepared: MakePrepared, **options: int) -> Job:
    job = await queue.add(stored(), OrderOptions(**options))  # type: ignore[arg-type]
    await queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
    return await queue.verified(job.job_id, prepared(job.artefact_sha256))


async def started_print(queue: Queue, job: Job, prepared: MakePrepared) -> PrintRecord:
    return await queue.start_print(job.job_id, prepared(job.artefact_sha256), "usb:1", "stamp")


async def story(queue: Queue) -> list[tuple[str, str | None]]:
    return [(event.type.value, event.state) for event in await queue.events_after(0)]
