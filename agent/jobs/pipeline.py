"""The pipeline: gives every waiting job to the stage of its state, and the printer its next print."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from agent.domain.errors import RefusedError
from agent.domain.job import Job, JobState
from agent.domain.printer import PrinterState
from agent.domain.prints import Bed, SalvagePlan
from agent.jobs.contact import ContactKeeper
from agent.jobs.driver import PrintDriver
from agent.jobs.meshes import Meshes
from agent.jobs.preparation import Preparation
from agent.jobs.queue import Queue
from agent.jobs.salvage_desk import demand_part, plan_for, proposal_for
from agent.jobs.stages.fetch import FetchStage
from agent.jobs.stages.print_ import PrintStage
from agent.jobs.stages.verify import Gate, Gatehouse
from agent.storage.artefacts import ArtefactStore
from agent.storage.prepared import PreparedShelf

if TYPE_CHECKING:
    from agent.jobs.stages.mesh import Preparing

_log = structlog.get_logger(__name__)


class Pipeline:
    """Prepares jobs and prints them; event loop only.

    Jobs are checked, sliced and verified beside a running print (see `Preparation`). `is_ejecting`: a completed print
    clears its bed.
    """

    def __init__(
        self,
        queue: Queue,
        store: ArtefactStore,
        driver: PrintDriver,
        gate: Gate,
        contact: ContactKeeper | None = None,
        *,
        profile_digest: str,
        gate_version: int,
        is_auto_start: bool = True,
        is_ejecting: bool = False,
        meshes: Meshes | None = None,
        fetch: FetchStage | None = None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._driver = driver
        self._profile_digest = profile_digest
        self._is_auto_start = is_auto_start
        shelf = PreparedShelf(store.prepared_dir)
        house = Gatehouse(queue, store, shelf, gate, profile_digest)
        self._preparation = Preparation(house, meshes=meshes, fetch=fetch)
        self._print = PrintStage(
            queue, shelf, driver, contact, gate_version=gate_version, is_ejecting=is_ejecting
        )
        self._requested: str | None = None
        self._salvage_wanted: tuple[Job, SalvagePlan] | None = None
        self._is_suspended = False
        self._request_made = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled. For an orderly stop call `suspend`, then `driver.suspend()`, then cancel.

        Raises StorageError (in an ExceptionGroup) when the database fails; the daemon ends and its supervisor
        starts it again.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._preparation.run(), name="prepare jobs")
            tasks.create_task(self._print_jobs(), name="print jobs")

    def suspend(self) -> None:
        """Start no further print; a running one is the printer's to suspend. Call it before `driver.suspend()`."""
        self._is_suspended = True

    async def start(self, job_id: str) -> Job:
        """Have a ready job printed next although the queue does not start by itself.

        Raises RefusedError `bed_occupied` or `wrong_state`. A restart of the daemon forgets the request.
        """
        job = await self._queue.get(job_id)
        if job.state is not JobState.READY:
            raise RefusedError(f"job {job.job_id} is {job.state.value}, not ready", code="wrong_state")
        if await self._queue.bed() is not Bed.CLEAR:
            raise RefusedError("the bed is not clear", code="bed_occupied", remedy="`fabunit bed clear`")
        self._requested = job.job_id
        self._request_made.set()
        return job

    async def drop_old_files(self) -> None:
        """Delete the files of jobs that are over, which are kept only while there is room.

        Prepared files stay: a verification may be running, and its new file has no job yet.
        """
        freed = await self._store.collect((await self._queue.references(kept_files=0)).artefacts)
        _log.info("old_files_dropped", freed_bytes=freed)

    async def salvage_proposal(self, job_id: str) -> dict[str, Any]:
        """How a failed print could go on. Raises NotFoundError `no_salvage`."""
        job, failed, proposal = await proposal_for(self._queue, job_id)
        return {"job_id": job.job_id, "print_id": failed.print_id, **proposal}

    async def salvage(self, job_id: str, layer: int | None) -> Job:
        """Have a print whose board was reset go on where it stopped, or at the beginning of `layer`.

        Raises RefusedError with what stands against it, UsageError `bad_layer`. A restart forgets the request.
        """
        job, failed, proposal = await proposal_for(self._queue, job_id)
        prepared = await self._print.prepared_of(job)
        if prepared is None:
            raise RefusedError("the checked file is not on disk any more", code="artefact_lost")
        plan = plan_for(job, failed, proposal, prepared.layers, layer)
        await demand_part(self._queue, job, failed, self._profile_digest)
        state = self._driver.snapshot().state
        if state is not PrinterState.IDLE:
            raise RefusedError(f"the printer is {state.value}, not idle", code="not_idle")
        self._salvage_wanted = (job, plan)
        self._request_made.set()
        return job

    @property
    def preparing(self) -> Preparing | None:
        """What is being done to a mesh right now."""
        return self._preparation.preparing

    async def _print_jobs(self) -> None:
        running = await self._queue.running()
        goes_on = True
        if running is not None:
            _log.info("print_found", print_id=running.record.print_id, job_id=running.job.job_id)
            goes_on = await self._print.resume(running)
        while goes_on and not self._is_suspended:
            version = self._queue.version
            wanted, self._salvage_wanted = self._salvage_wanted, None
            if wanted is not None:
                goes_on = await self._print.salvage(*wanted)
                continue
            if await self._next() is None:
                await self._wait_for_work(version)
                continue
            await self._driver.wait_idle()
            # Waiting for a printer can take days: the queue is asked again.
            job = await self._next()
            if job is not None and not self._is_suspended:
                self._requested = None
                goes_on = await self._print.run(job)

    async def _next(self) -> Job | None:
        return await self._queue.next_to_print(
            self._profile_digest,
            is_auto_start=self._is_auto_start,
            requested=self._requested,
        )

    async def _wait_for_work(self, version: int) -> None:
        changed = asyncio.create_task(self._queue.wait_changed(version), name="wait for the queue")
        asked = asyncio.create_task(self._request_made.wait(), name="wait for a request")
        try:
            await asyncio.wait({changed, asked}, return_when=asyncio.FIRST_COMPLETED)
            self._request_made.clear()
        finally:
            changed.cancel()
            asked.cancel()
