from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import RefusedError, StorageError
from agent.domain.job import Job, JobState, Reason
from agent.domain.prints import Bed, OutcomeState, PrintOutcome, PrintState
from agent.jobs.placement import At
from agent.jobs.queue import Queue
from agent.jobs.stages import print_
from agent.storage.artefacts import ArtefactStore
from agent.storage.database import Database
from tests.unit.jobs.pipeline_bench import (
    FakePrinter,
    Running,
    add,
    until,
    until_printing,
    until_state,
)


async def test_from_file_to_receipt(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await add(queue, store)
    async with running():
        order = await until_printing(queue, printer)
        assert order.record == (await queue.get_print(order.record.print_id)), "on disk before line 1"
        assert not order.resume
        assert order.prepared.source_sha256 == job.artefact_sha256
        assert (await queue.get(job.job_id)).state is JobState.PRINTING
        printer.end()
        done = await until_state(queue, job, JobState.COMPLETED)
    assert done.estimate_s == 60.0
    assert await queue.bed() is Bed.OCCUPIED
    states = [event.state for event in await queue.events_after(0) if event.type == "job"]
    assert states == ["received", "verifying", "ready", "printing", "completed"]


async def test_next_job_waits_for_the_bed_and_for_the_printer(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    first, second = await add(queue, store), await add(queue, store, b"G28 ; two\n")
    async with running():
        await until_printing(queue, printer)
        await until_state(queue, second, JobState.READY)
        printer.end()
        await until_state(queue, first, JobState.COMPLETED)
        printer.is_idle.clear()
        await queue.clear_bed()

        async def asked() -> bool:
            return printer.idle_waits == 2

        await until(queue, asked)
        assert (await queue.get(second.job_id)).state is JobState.READY
        printer.is_idle.set()
        await until_printing(queue, printer, 2)
        printer.end()
        await until_state(queue, second, JobState.COMPLETED)


async def test_a_job_cancelled_while_the_printer_is_away_is_not_printed(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.is_idle.clear()
    first, second = await add(queue, store), await add(queue, store, b"G28 ; two\n")
    async with running():
        await until_state(queue, second, JobState.READY)

        async def asked() -> bool:
            return printer.idle_waits == 1

        await until(queue, asked)
        await queue.cancel(first.job_id)
        printer.is_idle.set()
        order = await until_printing(queue, printer)
        assert order.record.job_id == second.job_id
        printer.end()
        await until_state(queue, second, JobState.COMPLETED)


async def test_a_job_moved_ahead_while_the_printer_is_away_goes_first(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.is_idle.clear()
    await add(queue, store)
    second = await add(queue, store, b"G28 ; two\n")
    async with running():
        await until_state(queue, second, JobState.READY)

        async def asked() -> bool:
            return printer.idle_waits == 1

        await until(queue, asked)
        await queue.move(second.job_id, At(to=1))
        printer.is_idle.set()
        assert (await until_printing(queue, printer)).record.job_id == second.job_id


async def test_copies_with_ejection_run_by_themselves(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.always = PrintOutcome(OutcomeState.COMPLETED, None, "", 1)
    job = await add(queue, store, copies=3)
    async with running(is_ejecting=True):
        await until_state(queue, job, JobState.COMPLETED)
    assert [order.record.copy for order in printer.orders] == [1, 2, 3]
    assert await queue.bed() is Bed.CLEAR


async def test_without_auto_start_a_person_starts(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    first, second = await add(queue, store), await add(queue, store, b"G28 ; two\n")
    async with running(is_auto_start=False) as pipeline:
        await until_state(queue, second, JobState.READY)
        assert printer.orders == []
        await pipeline.start(second.job_id)
        assert (await until_printing(queue, printer)).record.job_id == second.job_id
        with pytest.raises(RefusedError):
            await pipeline.start(second.job_id)
        with pytest.raises(RefusedError):
            await pipeline.start(first.job_id)
        printer.end()
        await until_state(queue, second, JobState.COMPLETED)
    assert (await queue.get(first.job_id)).state is JobState.READY


async def test_pauses_and_checkpoints_reach_the_disk(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await add(queue, store)
    async with running():
        order = await until_printing(queue, printer)
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
        await until_state(queue, job, JobState.COMPLETED)


async def test_cancelling_a_printing_job_reaches_the_printer(
    queue: Queue,
    store: ArtefactStore,
    printer: FakePrinter,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(print_, "CANCEL_RETRY_S", 0.01)
    printer.refusals = 2
    job = await add(queue, store)
    async with running():
        await until_printing(queue, printer)
        await queue.cancel(job.job_id, Reason.COORDINATOR)
        cancelled = await until_state(queue, job, JobState.CANCELLED)
    assert printer.cancels == [Reason.COORDINATOR]
    assert cancelled.reason is Reason.COORDINATOR


async def test_suspending_leaves_the_print_for_the_next_daemon(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job, other = await add(queue, store), await add(queue, store, b"G28 ; two\n")
    async with running():
        first = await until_printing(queue, printer)
        await until_state(queue, other, JobState.READY)
        await printer.suspend()
        await asyncio.sleep(0)
        assert (await queue.get(job.job_id)).state is JobState.PRINTING
    left = await queue.running()
    assert left is not None
    assert left.record == first.record
    async with running():
        second = await until_printing(queue, printer, 2)
        assert second.resume
        assert second.record == first.record
        printer.end(OutcomeState.FAILED, Reason.PRINTER_RESET)
        failed = await until_state(queue, job, JobState.FAILED)
        assert failed.reason is Reason.PRINTER_RESET
        assert len(printer.orders) == 2, "the bed is not clear"
        await queue.clear_bed()
        await until_printing(queue, printer, 3)


async def test_a_suspended_pipeline_starts_no_print(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    printer.is_idle.clear()
    job = await add(queue, store)
    async with running() as pipeline:
        await until_state(queue, job, JobState.READY)
        pipeline.suspend()
        printer.is_idle.set()
        other = await add(queue, store, b"G28 ; two\n")
        await until_state(queue, other, JobState.READY)
    assert printer.orders == []
    assert await queue.bed() is Bed.CLEAR


async def test_a_wish_to_cancel_outlives_the_daemon(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await add(queue, store)
    async with running():
        await until_printing(queue, printer)
        await printer.suspend()
    await queue.cancel(job.job_id)
    async with running():
        await until_state(queue, job, JobState.CANCELLED)
    assert printer.cancels == [Reason.USER]


@pytest.mark.parametrize("damage", ["gone", "changed", "undescribed"])
async def test_a_print_whose_file_is_lost_is_not_taken_over(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running, damage: str
) -> None:
    job = await add(queue, store)
    async with running():
        order = await until_printing(queue, printer)
        await printer.suspend()
    if damage == "gone":
        order.path.unlink()
    elif damage == "changed":
        order.path.write_bytes(b"G1 X9")
    else:
        next(store.prepared_dir.glob("*.json")).unlink()
    async with running():
        failed = await until_state(queue, job, JobState.FAILED)
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
    job = await add(queue, store)
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
        await until_printing(queue, printer)
        printer.end()
        await until_state(queue, job, JobState.COMPLETED)
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
    job = await add(queue, store)
    async with running():
        order = await until_printing(queue, printer)
        assert not orphan.exists()
        assert not unfinished.exists()
        assert [path.name for path in store.prepared_dir.glob("*.gcode")] == [order.path.name]
        assert store.path(job.artefact_sha256).exists()
