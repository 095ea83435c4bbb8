"""The print stage: one attempt at one copy, from its record to its receipt (P1, P2, P8)."""

from __future__ import annotations

import asyncio

import structlog

from agent.domain.artefact import Prepared
from agent.domain.errors import FabunitError, RefusedError, StorageError
from agent.domain.job import Job, Reason
from agent.domain.prints import LastContact, OutcomeState, PrintOrder, PrintOutcome, PrintRecord, SalvagePlan
from agent.jobs.contact import ContactKeeper
from agent.jobs.driver import PrintDriver
from agent.jobs.filament import filament_mm
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.print_ledger import Running
from agent.jobs.print_writes import Spending
from agent.jobs.queue import Queue
from agent.printer.procedures import PauseSnapshot
from agent.storage.prepared import PreparedShelf

# A print's end must reach the disk: a full disk is given ten minutes to be emptied before the daemon gives
# up.
FINISH_RETRY_S = 5.0
FINISH_TRIES = 120
# A printer that cannot cancel yet (it is still being taken over) is asked again.
CANCEL_RETRY_S = 1.0

_log = structlog.get_logger(__name__)


class PrintStage:
    """Runs prints one after the other; event loop only."""

    def __init__(
        self,
        queue: Queue,
        shelf: PreparedShelf,
        driver: PrintDriver,
        contact: ContactKeeper | None = None,
        *,
        gate_version: int,
        is_ejecting: bool,
    ) -> None:
        self._queue = queue
        self._shelf = shelf
        self._driver = driver
        self._contact = contact
        self._gate_version = gate_version
        self._is_ejecting = is_ejecting
        self._checked_again: set[str] = set()

    async def run(self, job: Job) -> bool:
        """Print one copy of a ready job. Returns False when the daemon stops and the print goes on.

        A job that was held, cancelled or moved off the clear bed meanwhile is left alone.
        """
        try:
            prepared = await self._prepared(job)
            if prepared is None:
                return True
            stamp = await self._shelf.proven_stamp(prepared)
            port_id = self._driver.snapshot().port_id
            record = await self._queue.start_print(job.job_id, prepared, port_id, stamp)
        except RefusedError as refusal:
            _log.info("print_not_started", job_id=job.job_id, detail=refusal.message)
            return True
        except StorageError as error:
            await self._fail_unstarted(job, error)
            return True
        return await self._attempt(record, prepared, is_resumed=False)

    async def resume(self, running: Running) -> bool:
        """Take over a print that an earlier daemon left; the printer decides what has become of it."""
        job, record = running.job, running.record
        prepared = await self._shelf.load(
            job.artefact_sha256, job.profile_digest or "", record.prepared_sha256
        )
        if prepared is None:
            return await self._give_up(record, StorageError("the prepared file is not on disk any more"))
        try:
            await self._shelf.proven_stamp(prepared, record.file_stamp)
        except StorageError as error:
            return await self._give_up(record, error)
        return await self._attempt(record, prepared, is_resumed=True)

    async def salvage(self, job: Job, plan: SalvagePlan) -> bool:
        """Go on with a failed print where a person has said. Returns False when the daemon stops meanwhile."""
        try:
            prepared = await self.prepared_of(job)
            if prepared is None:  # the desk has seen it a moment ago
                _log.warning("salvage_not_started", job_id=job.job_id, detail="the checked file is gone")
                return True
            stamp = await self._shelf.proven_stamp(prepared)
            port_id = self._driver.snapshot().port_id
            record = await self._queue.start_salvage(
                job.job_id,
                prepared,
                plan,
                checkpoint=PauseSnapshot("salvaging", plan.line).to_json(),
                port_id=port_id,
                file_stamp=stamp,
            )
        except (RefusedError, StorageError) as refusal:  # the part stays as it is; it can be asked for again
            _log.warning("salvage_not_started", job_id=job.job_id, detail=refusal.message)
            return True
        return await self._attempt(record, prepared, is_resumed=False, salvage=plan)

    async def prepared_of(self, job: Job) -> Prepared | None:
        """What the gate made for this job; None when it is not on disk any more."""
        return await self._shelf.load(
            job.artefact_sha256, job.profile_digest or "", job.prepared_sha256 or ""
        )

    async def _prepared(self, job: Job) -> Prepared | None:
        """Load what the gate made; a job without it, or from an older gate, goes back to be verified once."""
        prepared = await self.prepared_of(job)
        if prepared is not None and prepared.gate_version == self._gate_version:
            return prepared
        if job.job_id in self._checked_again:
            raise StorageError("the prepared file disappears again and again", code="artefact_lost")
        self._checked_again.add(job.job_id)
        await self._queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
        return None

    async def _attempt(
        self,
        record: PrintRecord,
        prepared: Prepared,
        *,
        is_resumed: bool,
        salvage: SalvagePlan | None = None,
    ) -> bool:
        # The signature is PauseListener's.
        async def on_pause(paused: bool, reason: Reason | None, detail: str) -> None:  # noqa: FBT001
            trigger = Trigger.PAUSED if paused else Trigger.RESUMED
            await self._queue.record_pause(record.print_id, JobEvent(trigger, reason, detail))

        async def checkpoint(snapshot: str | None) -> None:
            await self._queue.save_checkpoint(record.print_id, snapshot)

        async def on_takeover(line: int, gap_s: float | None, same_daemon: bool) -> None:  # noqa: FBT001
            gap = None if gap_s is None else round(gap_s, 1)
            found = {"line": line, "gap_s": gap, "restarted": not same_daemon}
            try:
                await self._queue.record_takeover(record.print_id, found)
            except StorageError as error:  # a note less in the receipt is no reason to stop the printer
                _log.warning("takeover_not_noted", print_id=record.print_id, detail=error.message)

        path = self._shelf.path(record.prepared_sha256)
        contact = await self._last_contact(record, is_resumed=is_resumed)
        order = PrintOrder(
            record, path, prepared, is_resumed, on_pause, checkpoint, contact, on_takeover, salvage
        )
        outcome = await self._drive(order)
        if outcome.state is OutcomeState.SUSPENDED:
            if self._contact is not None:
                await self._contact.suspended(record.print_id, outcome.lines_acked)
            return False
        # A print that could not be taken over knows no line of its own.
        reached = max(outcome.lines_acked, contact.line if contact is not None else 0)
        await self._finish(record, outcome, lambda begun: filament_mm(prepared, begun, reached))
        return True

    async def _last_contact(self, record: PrintRecord, *, is_resumed: bool) -> LastContact | None:
        if self._contact is None:
            return None
        if is_resumed:
            return await self._contact.last(record.print_id)
        await self._contact.begin(record.print_id)
        return None

    async def _give_up(self, record: PrintRecord, error: StorageError) -> bool:
        await self._finish(record, PrintOutcome(OutcomeState.FAILED, _reason(error), error.message, 0))
        return True

    async def _drive(self, order: PrintOrder) -> PrintOutcome:
        print_id = order.record.print_id
        beside = [asyncio.create_task(self._relay_cancel(print_id), name="cancel relay")]
        if self._contact is not None:
            beside.append(asyncio.create_task(self._contact.keep(print_id), name="contact notes"))
        try:
            return await self._driver.print_file(order)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _relay_cancel(self, print_id: str) -> None:
        """Hand a wish to cancel, which is on record, to the printer; again until it takes it."""
        version = self._queue.version
        while (reason := (await self._queue.get_print(print_id)).cancel_reason) is None:
            version = await self._queue.wait_changed(version)
        while True:
            try:
                await self._driver.cancel(reason)
            except FabunitError as error:
                _log.warning("cancel_not_taken", print_id=print_id, detail=error.message)
                await asyncio.sleep(CANCEL_RETRY_S)
            else:
                return

    async def _finish(
        self, record: PrintRecord, outcome: PrintOutcome, spending: Spending | None = None
    ) -> None:
        for attempt in range(1, FINISH_TRIES + 1):
            try:
                await self._queue.finish_print(
                    record.print_id, outcome, is_ejected=self._is_ejecting, spending=spending
                )
            except StorageError as error:
                if attempt == FINISH_TRIES:
                    raise
                _log.error("print_end_not_recorded", print_id=record.print_id, detail=error.message)
                await asyncio.sleep(FINISH_RETRY_S)
            else:
                return

    async def _fail_unstarted(self, job: Job, error: StorageError) -> None:
        try:
            await self._queue.apply(job.job_id, JobEvent(Trigger.FAILED, _reason(error), error.message))
        except RefusedError as refusal:
            _log.info("print_not_started", job_id=job.job_id, detail=refusal.message)


def _reason(error: StorageError) -> Reason:
    return {"hash_mismatch": Reason.HASH_MISMATCH, "disk_full": Reason.DISK_FULL}.get(
        error.code, Reason.ARTEFACT_LOST
    )
