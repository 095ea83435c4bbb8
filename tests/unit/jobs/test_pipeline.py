from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from agent.domain.artefact import Finding, Prepared, Severity
from agent.domain.errors import ArtefactError, FabunitError, RefusedError, StorageError
from agent.domain.job import Job, JobState, Reason
from agent.domain.printer import PrinterSnapshot
from agent.domain.prints import Bed, OutcomeState, PrintOrder, PrintOutcome, PrintState
from agent.jobs.intake import Intake
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.pipeline import Pipeline
from agent.jobs.placement import At
from agent.jobs.queue import Queue
from agent.jobs.stages import print_
from agent.storage.artefacts import ArtefactStore
from agent.storage.database import Database

PROFILE = "profile-1"
LINES = b"G28\n"
MakePrepared = Callable[..., Prepared]
Running = Callable[..., AbstractAsyncContextManager[Pipeline]]


class FakePrinter:
    """A printer that ends each print as it is told."""

    def __init__(self) -> None:
        self.orders: list[PrintOrder] = []
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        self.idle_waits = 0
        self.cancels: list[Reason] = []
        self.refusals = 0
        self._outcome: asyncio.Future[PrintOutcome] | None = None
        self.always: PrintOutcome | None = None

    def snapshot(self) -> PrinterSnapshot:
        return PrinterSnapshot(port_id="usb:1")

    async def wait_idle(self) -> None:
        self.idle_waits += 1
        await self.is_idle.wait()

    async def print_file(self, order: PrintOrder) -> PrintOutcome:
        assert self._outcome is None, "one print at a time"
        self.orders.append(order)
        assert order.path.read_bytes() == LINES
        if self.always is not None:
            return self.always
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            return await self._outcome
        finally:
            self._outcome = None

    async def cancel(self, reason: Reason) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RefusedError("not now")
        self.cancels.append(reason)
        self.end(OutcomeState.CANCELLED, reason)

    async def suspend(self) -> None:
        self.end(OutcomeState.SUSPENDED)

    def end(self, state: OutcomeState = OutcomeState.COMPLETED, reason: Reason | None = None) -> None:
        assert self._outcome is not None, "no print runs"
        self._outcome.set_result(PrintOutcome(state, reason, "", 1))


class FakeGate:
    """Writes the prepared file as the real gate does; `fault` replaces a verdict."""

    def __init__(self, directory: Path, make: MakePrepared) -> None:
        self._directory = directory
        self._make = make
        self.calls: list[str] = []
        self.fault: Callable[[Job, Path], Awaitable[Prepared]] | None = None
        self.findings: tuple[Finding, ...] = ()
        self.profile = PROFILE

    async def __call__(self, job: Job, path: Path) -> Prepared:
        self.calls.append(job.job_id)
        if self.fault is not None:
            return await self.fault(job, path)
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        verdict: Prepared = self._make(source, content=LINES, findings=self.findings, profile=self.profile)
        if verdict.is_printable:
            (self._directory / f"{verdict.sha256}.gcode").write_bytes(LINES)
        return verdict


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ArtefactStore]:
    store = ArtefactStore(tmp_path, 1_000_000, min_free_bytes=0)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def printer() -> FakePrinter:
    return FakePrinter()


@pytest.fixture
def gate(store: ArtefactStore, prepared: MakePrepared) -> FakeGate:
    return FakeGate(store.prepared_dir, prepared)


@pytest.fixture
def running(queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate) -> Running:
    """Run a pipeline for as long as the `async with` block lasts."""

    @contextlib.asynccontextmanager
    async def run(
        *,
        gate_version: int = 1,
        profile: str = PROFILE,
        is_auto_start: bool = True,
        is_ejecting: bool = False,
    ) -> AsyncIterator[Pipeline]:
        pipeline = Pipeline(
            queue,
            store,
            printer,
            gate,
            profile_digest=profile,
            gate_version=gate_version,
            is_auto_start=is_auto_start,
            is_ejecting=is_ejecting,
        )
        task = asyncio.create_task(pipeline.run())
        try:
            yield pipeline
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return run


async def _add(queue: Queue, store: ArtefactStore, content: bytes = b"G28 ; home\n", copies: int = 1) -> Job:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return await queue.add(await store.add(chunks(), "part.gcode"), OrderOptions(copies=copies))


async def _until(queue: Queue, condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while True:
            version = queue.version
            if await condition():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(queue.wait_changed(version), 0.05)


async def _until_state(queue: Queue, job: Job, state: JobState) -> Job:
    async def reached() -> bool:
        return (await queue.get(job.job_id)).state is state

    await _until(queue, reached)
    return await queue.get(job.job_id)


async def _until_printing(queue: Queue, printer: FakePrinter, count: int = 1) -> PrintOrder:
    async def reached() -> bool:
        return len(printer.orders) >= count

    await _until(queue, reached)
    return printer.orders[count - 1]


async def test_from_file_to_receipt(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await _add(queue, store)
    async with running():
        order = await _until_printing(queue, printer)
        assert order.record == (await queue.get_print(order.record.print_id)), "on disk before line 1"
        assert not order.resume
        assert order.prepared.source_sha256 == job.artefact_sha256
        assert (await queue.get(job.job_id)).state is JobState.PRINTING
        printer.end()
        done = await _until_state(queue, job, JobState.COMPLETED)
    assert done.estimate_s == 60.0
    assert await queue.bed() is Bed.OCCUPIED
    states = [event.state for event in await queue.events_after(0) if event.type == "job"]
    assert states == ["received", "verifying", "ready", "printing", "completed"]


async def test_next_job_waits_for_the_bed_and_for_the_printer(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    first, second = await _add(queue, store), await _add(queue, store, b"G28 ; two\n")
    async with running():
        await _until_printing(queue, printer)
        await _until_state(queue, second, JobState.READY)
        printer.end()
        await _until_state(queue, first, JobState.COMPLETED)
        printer.is_idle.clear()
        await queue.clear_bed()

        async def asked() -> bool:
            return printer.idle_waits == 2

        await _until(queue, asked)
        assert (await queue.get(second.job_id)).state is JobState.READY
        printer.is_idle.set()
        await _until_printing(queue, printer, 2)
        printer.end()
        await _until_state(queue, second, JobState.COMPLETED)


async def test_a_job_cancelled_while_the_printer_is_away_is_not_printed(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.is_idle.clear()
    first, second = await _add(queue, store), await _add(queue, store, b"G28 ; two\n")
    async with running():
        await _until_state(queue, second, JobState.READY)

        async def asked() -> bool:
            return printer.idle_waits == 1

        await _until(queue, asked)
        await queue.cancel(first.job_id)
        printer.is_idle.set()
        order = await _until_printing(queue, printer)
        assert order.record.job_id == second.job_id
        printer.end()
        await _until_state(queue, second, JobState.COMPLETED)


async def test_a_job_moved_ahead_while_the_printer_is_away_goes_first(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.is_idle.clear()
    await _add(queue, store)
    second = await _add(queue, store, b"G28 ; two\n")
    async with running():
        await _until_state(queue, second, JobState.READY)

        async def asked() -> bool:
            return printer.idle_waits == 1

        await _until(queue, asked)
        await queue.move(second.job_id, At(to=1))
        printer.is_idle.set()
        assert (await _until_printing(queue, printer)).record.job_id == second.job_id


async def test_copies_with_ejection_run_by_themselves(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.always = PrintOutcome(OutcomeState.COMPLETED, None, "", 1)
    job = await _add(queue, store, copies=3)
    async with running(is_ejecting=True):
        await _until_state(queue, job, JobState.COMPLETED)
    assert [order.record.copy for order in printer.orders] == [1, 2, 3]
    assert await queue.bed() is Bed.CLEAR


async def test_without_auto_start_a_person_starts(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    first, second = await _add(queue, store), await _add(queue, store, b"G28 ; two\n")
    async with running(is_auto_start=False) as pipeline:
        await _until_state(queue, second, JobState.READY)
        assert printer.orders == []
        await pipeline.start(second.job_id)
        assert (await _until_printing(queue, printer)).record.job_id == second.job_id
        with pytest.raises(RefusedError):
            await pipeline.start(second.job_id)
        with pytest.raises(RefusedError):
            await pipeline.start(first.job_id)
        printer.end()
        await _until_state(queue, second, JobState.COMPLETED)
    assert (await queue.get(first.job_id)).state is JobState.READY


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ArtefactError("text", code="not_gcode"), JobState.REJECTED, Reason.NOT_GCODE),
        (ArtefactError("a mesh", code="mesh_unsupported"), JobState.REJECTED, Reason.UNSUPPORTED_FORMAT),
        (ArtefactError("odd", code="bad_artefact", remedy="x"), JobState.REJECTED, Reason.GATE_REFUSED),
        (ArtefactError("other", code="hash_mismatch"), JobState.FAILED, Reason.HASH_MISMATCH),
        (FabunitError("killed", code="gate_crashed"), JobState.FAILED, Reason.GATE_CRASHED),
        (StorageError("full", code="disk_full"), JobState.HELD, Reason.DISK_FULL),
        (StorageError("odd"), JobState.FAILED, Reason.GATE_CRASHED),
        (ZeroDivisionError("a bug"), JobState.FAILED, Reason.GATE_CRASHED),
    ],
)
async def test_what_the_gate_raises_ends_only_this_job(
    *,
    queue: Queue,
    store: ArtefactStore,
    printer: FakePrinter,
    gate: FakeGate,
    running: Running,
    error: Exception,
    state: JobState,
    reason: Reason,
) -> None:
    async def fault(job: Job, path: Path) -> Prepared:
        raise error

    gate.fault = fault
    job = await _add(queue, store)
    async with running():
        ended = await _until_state(queue, job, state)
        assert ended.reason is reason
        assert str(error) in ended.detail
        gate.fault = None
        other = await _add(queue, store, b"G28 ; good\n")
        assert (await _until_printing(queue, printer)).record.job_id == other.job_id
        again = await (queue.release if state is JobState.HELD else queue.retry)(job.job_id)
        await _until_state(queue, again, JobState.READY)
        printer.end()
        await _until_state(queue, other, JobState.COMPLETED)


async def test_findings_reject_with_the_first_of_them(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate, running: Running
) -> None:
    gate.findings = (
        Finding("warm", Severity.WARNING, 1, "warm"),
        *(
            Finding(f"hot-{n}", Severity.ERROR, n, f"M104 S{n} is too hot", "lower it")
            for n in range(300, 310)
        ),
    )
    job = await _add(queue, store)
    async with running():
        rejected = await _until_state(queue, job, JobState.REJECTED)
    assert rejected.reason is Reason.GATE_REFUSED
    assert rejected.detail == "line 300: M104 S300 is too hot (and 9 more)"
    event = (await queue.events_after(0))[-1]
    assert event.data["errors"] == 10
    assert [finding["id"] for finding in event.data["findings"]] == [f"hot-{n}" for n in range(300, 305)]
    assert printer.orders == []


async def test_a_gate_that_checked_something_else_is_not_believed(
    queue: Queue, store: ArtefactStore, gate: FakeGate, running: Running, prepared: MakePrepared
) -> None:
    gate.profile = "another"
    job = await _add(queue, store)
    async with running():
        assert (await _until_state(queue, job, JobState.FAILED)).reason is Reason.GATE_CRASHED
    store.path(job.artefact_sha256).write_bytes(b"G28 ; rotten")
    gate.profile = PROFILE
    await queue.retry(job.job_id)
    async with running():
        assert (await _until_state(queue, job, JobState.FAILED)).reason is Reason.HASH_MISMATCH


async def test_a_lost_artefact_fails_the_job_and_the_daemon_goes_on(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    lost, good = await _add(queue, store), await _add(queue, store, b"G28 ; good\n")
    store.path(lost.artefact_sha256).unlink()
    async with running():
        assert (await _until_state(queue, lost, JobState.FAILED)).reason is Reason.ARTEFACT_LOST
        assert (await _until_printing(queue, printer)).record.job_id == good.job_id


async def test_changed_bytes_are_never_printed(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    await queue.clear_bed()
    job = await _add(queue, store)
    printer.is_idle.clear()
    async with running():
        ready = await _until_state(queue, job, JobState.READY)
        (store.prepared_dir / f"{ready.prepared_sha256}.gcode").write_bytes(b"G1 X9")
        printer.is_idle.set()
        assert (await _until_state(queue, job, JobState.FAILED)).reason is Reason.HASH_MISMATCH
    assert printer.orders == []
    assert await queue.bed() is Bed.CLEAR


async def test_a_missing_prepared_file_is_made_again_once(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate, running: Running
) -> None:
    job = await _add(queue, store)
    printer.is_idle.clear()
    async with running():
        ready = await _until_state(queue, job, JobState.READY)
        prepared_file = store.prepared_dir / f"{ready.prepared_sha256}.gcode"
        prepared_file.unlink()
        printer.is_idle.set()
        await _until_printing(queue, printer)
    assert len(gate.calls) == 2


async def test_a_prepared_file_that_keeps_disappearing_fails_the_job(
    *,
    queue: Queue,
    store: ArtefactStore,
    printer: FakePrinter,
    gate: FakeGate,
    running: Running,
    prepared: MakePrepared,
) -> None:
    async def forgetful(job: Job, path: Path) -> Prepared:
        verdict: Prepared = prepared(job.artefact_sha256, content=LINES)
        return verdict

    gate.fault = forgetful
    job = await _add(queue, store)
    async with running():
        assert (await _until_state(queue, job, JobState.FAILED)).reason is Reason.ARTEFACT_LOST
    assert len(gate.calls) == 2
    assert printer.orders == []


async def test_a_new_profile_or_gate_checks_ready_jobs_again(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate, running: Running
) -> None:
    job = await _add(queue, store)
    async with running(is_auto_start=False):
        await _until_state(queue, job, JobState.READY)
    gate.profile = "profile-2"
    async with running(profile="profile-2", is_auto_start=False):

        async def checked() -> bool:
            return (await queue.get(job.job_id)).profile_digest == "profile-2"

        await _until(queue, checked)
    gate.fault = None
    async with running(profile="profile-2", gate_version=2):
        failed = await _until_state(queue, job, JobState.FAILED)
    assert failed.reason is Reason.ARTEFACT_LOST, "a gate that stays old never gets to print"
    assert len(gate.calls) == 3
    assert printer.orders == []


async def test_a_hold_ends_the_check_and_a_release_repeats_it(
    queue: Queue, store: ArtefactStore, gate: FakeGate, running: Running
) -> None:
    ended = asyncio.Event()

    async def endless(job: Job, path: Path) -> Prepared:
        try:
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            ended.set()

    gate.fault = endless
    job = await _add(queue, store)
    async with running():
        await _until_state(queue, job, JobState.VERIFYING)
        assert (await queue.hold(job.job_id)).held_from is JobState.VERIFYING
        await asyncio.wait_for(ended.wait(), 5)
        gate.fault = None
        assert (await queue.release(job.job_id)).state is JobState.VERIFYING
        await _until_state(queue, job, JobState.PRINTING)


async def test_a_killed_check_is_repeated_by_the_next_daemon(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await _add(queue, store)
    await queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
    async with running():
        await _until_printing(queue, printer)


async def test_pauses_and_checkpoints_reach_the_disk(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await _add(queue, store)
    async with running():
        order = await _until_printing(queue, printer)
        await order.checkpoint("at line 7")
        await order.on_pause(True, Reason.FILAMENT, "runout")
        paused = await queue.get_print(order.record.print_id)
        assert (paused.state, paused.reason, paused.pause_snapshot) == (
            PrintState.PAUSED,
            Reason.FILAMENT,
            "at line 7",
        )
        assert (await queue.get(job.job_id)).state is JobState.PAUSED
        await order.on_pause(False, None, "")
        assert (await queue.get(job.job_id)).state is JobState.PRINTING
        printer.end()
        await _until_state(queue, job, JobState.COMPLETED)


async def test_cancelling_a_printing_job_reaches_the_printer(
    queue: Queue,
    store: ArtefactStore,
    printer: FakePrinter,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(print_, "CANCEL_RETRY_S", 0.01)
    printer.refusals = 2
    job = await _add(queue, store)
    async with running():
        await _until_printing(queue, printer)
        await queue.cancel(job.job_id, Reason.COORDINATOR)
        cancelled = await _until_state(queue, job, JobState.CANCELLED)
    assert printer.cancels == [Reason.COORDINATOR]
    assert cancelled.reason is Reason.COORDINATOR


async def test_suspending_leaves_the_print_for_the_next_daemon(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job, other = await _add(queue, store), await _add(queue, store, b"G28 ; two\n")
    async with running():
        first = await _until_printing(queue, printer)
        await _until_state(queue, other, JobState.READY)
        await printer.suspend()
        await asyncio.sleep(0)
        assert (await queue.get(job.job_id)).state is JobState.PRINTING
    left = await queue.running()
    assert left is not None
    assert left.record == first.record
    async with running():
        second = await _until_printing(queue, printer, 2)
        assert second.resume
        assert second.record == first.record
        printer.end(OutcomeState.FAILED, Reason.PRINTER_RESET)
        failed = await _until_state(queue, job, JobState.FAILED)
        assert failed.reason is Reason.PRINTER_RESET
        assert len(printer.orders) == 2, "the bed is not clear"
        await queue.clear_bed()
        await _until_printing(queue, printer, 3)


async def test_a_suspended_pipeline_starts_no_print(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.is_idle.clear()
    job = await _add(queue, store)
    async with running() as pipeline:
        await _until_state(queue, job, JobState.READY)
        pipeline.suspend()
        printer.is_idle.set()
        other = await _add(queue, store, b"G28 ; two\n")
        await _until_state(queue, other, JobState.READY)
    assert printer.orders == []
    assert await queue.bed() is Bed.CLEAR


async def test_a_wish_to_cancel_outlives_the_daemon(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await _add(queue, store)
    async with running():
        await _until_printing(queue, printer)
        await printer.suspend()
    await queue.cancel(job.job_id)
    async with running():
        await _until_state(queue, job, JobState.CANCELLED)
    assert printer.cancels == [Reason.USER]


@pytest.mark.parametrize("damage", ["gone", "changed", "undescribed"])
async def test_a_print_whose_file_is_lost_is_not_taken_over(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running, damage: str
) -> None:
    job = await _add(queue, store)
    async with running():
        order = await _until_printing(queue, printer)
        await printer.suspend()
    if damage == "gone":
        order.path.unlink()
    elif damage == "changed":
        order.path.write_bytes(b"G1 X9")
    else:
        next(store.prepared_dir.glob("*.json")).unlink()
    async with running():
        failed = await _until_state(queue, job, JobState.FAILED)
    assert failed.reason is (Reason.HASH_MISMATCH if damage == "changed" else Reason.ARTEFACT_LOST)
    assert len(printer.orders) == 1


async def test_the_end_of_a_print_waits_for_room_on_the_disk(
    *,
    queue: Queue,
    store: ArtefactStore,
    printer: FakePrinter,
    running: Running,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(print_, "FINISH_RETRY_S", 0.01)
    job = await _add(queue, store)
    tries = 0
    finish = queue.finish_print

    async def full_twice(print_id: str, outcome: PrintOutcome, **options: Any) -> Job:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StorageError("full", code="disk_full")
        return await finish(print_id, outcome, **options)

    monkeypatch.setattr(queue, "finish_print", full_twice)
    async with running():
        await _until_printing(queue, printer)
        printer.end()
        await _until_state(queue, job, JobState.COMPLETED)
    assert tries == 3


async def test_files_nobody_needs_are_collected(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running, tmp_path: Path
) -> None:
    orphan = tmp_path / "artefacts" / "ab" / ("ab" + "0" * 62)
    orphan.parent.mkdir()
    orphan.write_bytes(b"orphan")
    (store.prepared_dir / ("c" * 64 + ".gcode")).write_bytes(b"orphan")
    unfinished = store.prepared_dir / ".preparing-x.tmp"
    unfinished.write_bytes(b"left by a killed gate")
    job = await _add(queue, store)
    async with running():
        order = await _until_printing(queue, printer)
        assert not orphan.exists()
        assert not unfinished.exists()
        assert [path.name for path in store.prepared_dir.glob("*.gcode")] == [order.path.name]
        assert store.path(job.artefact_sha256).exists()


class _Request:
    def __init__(self, copies: int = 1) -> None:
        self.name = "../x/part.gcode"
        self.copies = copies
        self.hold = True
        self.material = "PLA"
        self.quality = None
        self.priority = 3
        self.expected_bytes: int | None = None


async def test_intake(queue: Queue, store: ArtefactStore) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"G28\n"

    job = await Intake(queue, store).submit(_Request(2), chunks())
    assert (job.name, job.state, job.copies, job.material, job.priority) == (
        "part.gcode",
        JobState.HELD,
        2,
        "PLA",
        3,
    )
    assert store.path(job.artefact_sha256).read_bytes() == b"G28\n"
    reads = []

    async def watched() -> AsyncIterator[bytes]:
        reads.append(1)
        yield b"G28\n"

    with pytest.raises(FabunitError):
        await Intake(queue, store).submit(_Request(0), watched())
    assert reads == []
