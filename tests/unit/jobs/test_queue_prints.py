"""Prints on record: from the first line to the receipt, the bed between them, and what a fault leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.domain.errors import RefusedError, StorageError
from agent.domain.events import Stamp
from agent.domain.job import JobState, Reason
from agent.domain.prints import Bed, OutcomeState, PrintOutcome, PrintState
from agent.jobs import print_writes
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage.database import Database
from tests.unit.jobs.queue_bench import DONE, FAILED, MakePrepared, Stored, ready_job, started_print


async def test_a_print_from_start_to_receipt(queue: Queue, stored: Stored, prepared: MakePrepared) -> None:
    job = await ready_job(queue, stored, prepared)
    before = len(await queue.events_after(0))
    record = await started_print(queue, job, prepared)
    assert 10_000 <= record.base < 60_000
    assert (record.state, record.copy, record.port_id, record.file_stamp) == (
        PrintState.PRINTING,
        1,
        "usb:1",
        "stamp",
    )
    running = await queue.running()
    assert running is not None
    assert running.record == record
    assert (running.job.state, await queue.bed()) == (JobState.PRINTING, Bed.OCCUPIED)
    assert [event.type.value for event in (await queue.events_after(0))[before:]] == ["job", "print", "bed"]
    finished = await queue.finish_print(record.print_id, DONE)
    assert (finished.state, finished.copies_done) == (JobState.COMPLETED, 1)
    assert (await queue.running(), await queue.bed()) == (None, Bed.OCCUPIED)
    ended = await queue.get_print(record.print_id)
    assert ended.receipt is not None
    receipt = json.loads(ended.receipt)
    assert (receipt["state"], receipt["stats"], receipt["job_id"]) == (
        "completed",
        {"resends": 2},
        job.job_id,
    )
    assert receipt["duration_s"] > 0
    assert receipt["artefact_sha256"] == job.artefact_sha256
    with pytest.raises(RefusedError) as caught:
        await queue.finish_print(record.print_id, FAILED)
    assert caught.value.code == "print_over"
    assert await queue.get_print(record.print_id) == ended


async def test_a_print_consumes_the_cleared_bed(queue: Queue, stored: Stored, prepared: MakePrepared) -> None:
    first = await ready_job(queue, stored, prepared)
    second = await ready_job(queue, stored, prepared)
    record = await started_print(queue, first, prepared)
    with pytest.raises(RefusedError) as caught:
        await queue.clear_bed()
    assert caught.value.code == "bed_in_use"
    await queue.finish_print(record.print_id, FAILED)
    with pytest.raises(RefusedError) as caught:
        await started_print(queue, second, prepared)
    assert caught.value.code == "bed_occupied"
    assert (await queue.get(second.job_id)).state is JobState.READY
    assert await queue.clear_bed() is Bed.CLEAR
    count = len(await queue.events_after(0))
    await queue.clear_bed()
    assert len(await queue.events_after(0)) == count, "a clear bed is no news"
    await started_print(queue, second, prepared)


async def test_every_copy_needs_its_own_cleared_bed(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await ready_job(queue, stored, prepared, copies=2)
    record = await started_print(queue, job, prepared)
    assert (await queue.finish_print(record.print_id, DONE)).state is JobState.READY
    with pytest.raises(RefusedError):
        await started_print(queue, job, prepared)
    await queue.clear_bed()
    second = await started_print(queue, job, prepared)
    assert second.copy == 2
    assert (await queue.finish_print(second.print_id, DONE)).state is JobState.COMPLETED
    assert [record.copy for record in await queue.prints(job_id=job.job_id)] == [2, 1]
    assert len(await queue.prints(limit=1)) == 1


async def test_ejection_clears_the_bed_only_of_a_completed_part(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await ready_job(queue, stored, prepared, copies=2)
    record = await started_print(queue, job, prepared)
    await queue.finish_print(record.print_id, DONE, is_ejected=True)
    assert await queue.bed() is Bed.CLEAR
    record = await started_print(queue, job, prepared)
    await queue.finish_print(record.print_id, FAILED, is_ejected=True)
    assert await queue.bed() is Bed.OCCUPIED


async def test_pause_and_resume_are_on_record(queue: Queue, stored: Stored, prepared: MakePrepared) -> None:
    job = await ready_job(queue, stored, prepared)
    record = await started_print(queue, job, prepared)
    pause = JobEvent(Trigger.PAUSED, Reason.FILAMENT, "runout")
    paused = await queue.record_pause(record.print_id, pause)
    assert (paused.state, paused.reason) == (PrintState.PAUSED, Reason.FILAMENT)
    count = len(await queue.events_after(0))
    assert await queue.record_pause(record.print_id, pause) == paused
    assert len(await queue.events_after(0)) == count
    await queue.save_checkpoint(record.print_id, '{"line": 7}')
    running = await queue.running()
    assert running is not None
    assert (running.job.state, running.record.pause_snapshot) == (JobState.PAUSED, '{"line": 7}')
    resumed = await queue.record_pause(record.print_id, JobEvent(Trigger.RESUMED))
    assert (resumed.state, (await queue.get(job.job_id)).state) == (PrintState.PRINTING, JobState.PRINTING)
    await queue.record_pause(record.print_id, pause)
    assert (await queue.finish_print(record.print_id, DONE)).state is JobState.COMPLETED


async def test_cancelling_a_printing_job_is_a_wish_on_record(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await ready_job(queue, stored, prepared)
    record = await started_print(queue, job, prepared)
    assert (await queue.cancel(job.job_id, Reason.COORDINATOR)).state is JobState.PRINTING
    assert (await queue.get_print(record.print_id)).cancel_reason is Reason.COORDINATOR
    count = len(await queue.events_after(0))
    await queue.cancel(job.job_id)
    assert len(await queue.events_after(0)) == count
    cancelled = PrintOutcome(OutcomeState.CANCELLED, Reason.COORDINATOR, "", 0)
    assert (await queue.finish_print(record.print_id, cancelled)).state is JobState.CANCELLED


async def test_a_failure_in_the_middle_of_a_transaction_leaves_nothing(
    queue: Queue, stored: Stored, prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await ready_job(queue, stored, prepared)
    count = len(await queue.events_after(0))

    def broken(*_: object, **__: object) -> None:
        raise StorageError("full", code="disk_full")

    monkeypatch.setattr(print_writes, "set_bed", broken)
    with pytest.raises(StorageError):
        await started_print(queue, job, prepared)
    assert await queue.running() is None
    assert (await queue.get(job.job_id)).state is JobState.READY
    assert await queue.bed() is Bed.CLEAR
    assert len(await queue.events_after(0)) == count


async def test_only_the_checked_bytes_are_printed(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await ready_job(queue, stored, prepared)
    other = prepared(job.artefact_sha256, content=b"M104 S999\n")
    with pytest.raises(RefusedError, match="not checked"):
        await queue.start_print(job.job_id, other, "usb:1")
    assert (await queue.running(), await queue.bed()) == (None, Bed.CLEAR)


async def test_odd_figures_do_not_keep_a_print_from_ending(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await ready_job(queue, stored, prepared)
    record = await started_print(queue, job, prepared)
    stats = {"p50": float("nan"), "path": Path("/x"), "list": (1, float("inf"), True), 5: {"deep": b"x"}}
    odd = PrintOutcome(OutcomeState.FAILED, None, "y" * 10_000, 1, stats)  # type: ignore[arg-type]
    finished = await queue.finish_print(record.print_id, odd)
    assert len(finished.detail) == 500
    receipt = json.loads((await queue.get_print(record.print_id)).receipt or "")
    assert receipt["stats"] == {"p50": None, "path": "/x", "list": [1, None, True], "5": {"deep": "b'x'"}}


async def test_newest_means_last_written_whatever_the_clock_says(
    queue: Queue, stored: Stored, database: Database, limits: QueueLimits
) -> None:
    late, early = await queue.add(stored("late")), await queue.add(stored("early"))
    await queue.cancel(late.job_id)

    class BackwardClock:
        def stamp(self) -> Stamp:
            return Stamp(1, 1, "boot-2")

    await Queue(database, BackwardClock(), limits=limits).cancel(early.job_id)
    assert [job.job_id for job in await queue.list(include_over=True)] == [early.job_id, late.job_id]
