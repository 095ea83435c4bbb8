from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.domain.artefact import Finding, Prepared, Severity
from agent.domain.errors import FabunitError, NotFoundError, RefusedError, StorageError, UsageError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.job import Job, JobState, Reason
from agent.domain.prints import Bed, OutcomeState, PrintOutcome, PrintRecord, PrintState
from agent.jobs import print_writes
from agent.jobs.ids import ALPHABET, new_id, spellings
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.placement import LAST, At
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage import events
from agent.storage.artefacts import StoredArtefact
from agent.storage.clock import SystemClock
from agent.storage.database import Connection, Database

Stored = Callable[..., StoredArtefact]
MakePrepared = Callable[..., Prepared]

DONE = PrintOutcome(OutcomeState.COMPLETED, None, "", 1, {"resends": 2})
FAILED = PrintOutcome(OutcomeState.FAILED, Reason.PORT_LOST, "unplugged", 1)


async def _ready(queue: Queue, stored: Stored, prepared: MakePrepared, **options: int) -> Job:
    job = await queue.add(stored(), OrderOptions(**options))  # type: ignore[arg-type]
    await queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
    return await queue.verified(job.job_id, prepared(job.artefact_sha256))


async def _started(queue: Queue, job: Job, prepared: MakePrepared) -> PrintRecord:
    return await queue.start_print(job.job_id, prepared(job.artefact_sha256), "usb:1", "stamp")


async def _story(queue: Queue) -> list[tuple[str, str | None]]:
    return [(event.type.value, event.state) for event in await queue.events_after(0)]


async def test_added_jobs_are_listed_in_order(queue: Queue, stored: Stored) -> None:
    first = await queue.add(stored())
    second = await queue.add(stored(), OrderOptions(copies=3, material="PETG", quality="fine"))
    urgent = await queue.add(stored(), OrderOptions(priority=5, is_held=True))
    assert [job.job_id for job in await queue.list()] == [urgent.job_id, first.job_id, second.job_id]
    assert (second.copies, second.material, second.quality, second.source) == (3, "PETG", "fine", "local")
    assert (urgent.state, urgent.held_from) == (JobState.HELD, JobState.RECEIVED)
    assert urgent.reason is Reason.HOLD_REQUESTED
    assert await _story(queue) == [("job", "received")] * 3 + [("job", "held")]
    assert len({first.job_id, second.job_id, urgent.job_id}) == 3
    assert all(set(job.job_id[2:]) <= set(ALPHABET) for job in (first, second, urgent))


async def test_the_queue_is_bounded(queue: Queue, stored: Stored, limits: QueueLimits) -> None:
    jobs = [await queue.add(stored()) for _ in range(limits.max_jobs)]
    with pytest.raises(RefusedError) as caught:
        await queue.add(stored())
    assert caught.value.code == "queue_full"
    with pytest.raises(RefusedError):
        await queue.check_order(OrderOptions())
    await queue.cancel(jobs[0].job_id)
    await queue.check_order(OrderOptions())
    await queue.add(stored())
    with pytest.raises(RefusedError, match="limit"):
        await queue.retry(jobs[0].job_id)


@pytest.mark.parametrize(
    "options", [OrderOptions(copies=0), OrderOptions(copies=51), OrderOptions(priority=101)]
)
async def test_figures_are_checked(queue: Queue, stored: Stored, options: OrderOptions) -> None:
    with pytest.raises(UsageError):
        await queue.add(stored(), options)
    with pytest.raises(UsageError):
        await queue.check_order(options)
    assert await queue.list() == ()


async def test_history_is_bounded(queue: Queue, stored: Stored, limits: QueueLimits) -> None:
    for _ in range(limits.kept_finished + 10):
        await queue.cancel((await queue.add(stored())).job_id)
    jobs = await queue.list(include_over=True)
    assert limits.kept_finished <= len(jobs) <= limits.kept_finished + 1
    assert jobs[0].updated_ms > jobs[-1].updated_ms


async def test_lookup_by_prefix(queue: Queue, stored: Stored) -> None:
    jobs = [await queue.add(stored()) for _ in range(15)]
    job = jobs[3]
    for typed in (job.job_id, job.job_id[2:], job.job_id.upper(), f" {job.job_id} ", job.job_id[:-1]):
        assert (await queue.get(typed)).job_id == job.job_id
    with pytest.raises(UsageError) as caught:
        await queue.get("j-")
    assert caught.value.code == "ambiguous_id"
    assert "part.gcode" in caught.value.message
    for typed in ("j-uuuuuuuu", "nothing", "%", "j-_"):
        with pytest.raises(NotFoundError):
            await queue.get(typed)
    for typed in ("", "  ", "x" * 200):
        with pytest.raises(UsageError):
            await queue.get(typed)


def test_misread_letters_are_mended() -> None:
    assert spellings("J-OIL00000", "j-") == ("J-OIL00000", "j-01100000")
    assert spellings("j-01100000", "j-") == ("j-01100000",)


def test_a_taken_id_is_drawn_again() -> None:
    first = new_id("j-", random.Random(1), lambda _: False)
    assert new_id("j-", random.Random(1), lambda candidate: candidate == first) != first


async def test_hold_release_cancel_retry(queue: Queue, stored: Stored) -> None:
    job = await queue.add(stored())
    assert (await queue.hold(job.job_id)).state is JobState.HELD
    with pytest.raises(RefusedError):
        await queue.hold(job.job_id)
    assert (await queue.release(job.job_id)).state is JobState.RECEIVED
    cancelled = await queue.cancel(job.job_id)
    assert (cancelled.state, cancelled.reason) == (JobState.CANCELLED, Reason.USER)
    with pytest.raises(RefusedError):
        await queue.cancel(job.job_id)
    assert (await queue.retry(job.job_id)).attempt == 2
    assert await queue.get(job.job_id) == (await queue.list())[0]
    assert await _story(queue) == [
        ("job", "received"),
        ("job", "held"),
        ("job", "received"),
        ("job", "cancelled"),
        ("job", "received"),
    ]


async def test_moving(queue: Queue, stored: Stored) -> None:
    a, b, c = [(await queue.add(stored())).job_id for _ in range(3)]
    await queue.move(c, At(to=1))
    await queue.move(a, At(to=LAST))
    assert [job.job_id for job in await queue.list()] == [c, b, a]
    await queue.move(a, At(before=b[:-1]))
    assert [job.job_id for job in await queue.list()] == [c, a, b]
    last = (await queue.events_after(0))[-1]
    assert (last.job_id, last.data["event"]) == (a, "moved")
    await queue.cancel(b)
    for job_id, place in ((b, At(to=1)), (a, At(before=b))):
        with pytest.raises(RefusedError):
            await queue.move(job_id, place)
    with pytest.raises(NotFoundError):
        await queue.move(a, At(before="j-uuuu"))


async def test_a_verified_job_knows_what_the_gate_learned(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await queue.add(stored())
    await queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
    found = (
        Finding("x", Severity.INFO, 1, "fyi"),
        Finding("y", Severity.WARNING, 2, "nozzle is rather hot"),
    )
    ready = await queue.verified(job.job_id, prepared(job.artefact_sha256, findings=found))
    assert ready == await queue.get(job.job_id)
    assert (ready.state, ready.estimate_s, ready.filament_mm, ready.layers) == (
        JobState.READY,
        60.0,
        123.0,
        2,
    )
    assert (ready.profile_digest, ready.detail) == ("profile-1", "nozzle is rather hot")
    event = (await queue.events_after(0))[-1]
    assert event.data == {
        "event": "verified",
        "lines": 1,
        "prepared_sha256": ready.prepared_sha256,
        "warnings": 1,
    }


async def test_a_print_from_start_to_receipt(queue: Queue, stored: Stored, prepared: MakePrepared) -> None:
    job = await _ready(queue, stored, prepared)
    before = len(await queue.events_after(0))
    record = await _started(queue, job, prepared)
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
    first = await _ready(queue, stored, prepared)
    second = await _ready(queue, stored, prepared)
    record = await _started(queue, first, prepared)
    with pytest.raises(RefusedError) as caught:
        await queue.clear_bed()
    assert caught.value.code == "bed_in_use"
    await queue.finish_print(record.print_id, FAILED)
    with pytest.raises(RefusedError) as caught:
        await _started(queue, second, prepared)
    assert caught.value.code == "bed_occupied"
    assert (await queue.get(second.job_id)).state is JobState.READY
    assert await queue.clear_bed() is Bed.CLEAR
    count = len(await queue.events_after(0))
    await queue.clear_bed()
    assert len(await queue.events_after(0)) == count, "a clear bed is no news"
    await _started(queue, second, prepared)


async def test_every_copy_needs_its_own_cleared_bed(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await _ready(queue, stored, prepared, copies=2)
    record = await _started(queue, job, prepared)
    assert (await queue.finish_print(record.print_id, DONE)).state is JobState.READY
    with pytest.raises(RefusedError):
        await _started(queue, job, prepared)
    await queue.clear_bed()
    second = await _started(queue, job, prepared)
    assert second.copy == 2
    assert (await queue.finish_print(second.print_id, DONE)).state is JobState.COMPLETED
    assert [record.copy for record in await queue.prints(job_id=job.job_id)] == [2, 1]
    assert len(await queue.prints(limit=1)) == 1


async def test_ejection_clears_the_bed_only_of_a_completed_part(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await _ready(queue, stored, prepared, copies=2)
    record = await _started(queue, job, prepared)
    await queue.finish_print(record.print_id, DONE, is_ejected=True)
    assert await queue.bed() is Bed.CLEAR
    record = await _started(queue, job, prepared)
    await queue.finish_print(record.print_id, FAILED, is_ejected=True)
    assert await queue.bed() is Bed.OCCUPIED


async def test_pause_and_resume_are_on_record(queue: Queue, stored: Stored, prepared: MakePrepared) -> None:
    job = await _ready(queue, stored, prepared)
    record = await _started(queue, job, prepared)
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
    job = await _ready(queue, stored, prepared)
    record = await _started(queue, job, prepared)
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
    job = await _ready(queue, stored, prepared)
    count = len(await queue.events_after(0))

    def broken(*_: object, **__: object) -> None:
        raise StorageError("full", code="disk_full")

    monkeypatch.setattr(print_writes, "set_bed", broken)
    with pytest.raises(StorageError):
        await _started(queue, job, prepared)
    assert await queue.running() is None
    assert (await queue.get(job.job_id)).state is JobState.READY
    assert await queue.bed() is Bed.CLEAR
    assert len(await queue.events_after(0)) == count


async def test_only_the_checked_bytes_are_printed(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await _ready(queue, stored, prepared)
    other = prepared(job.artefact_sha256, content=b"M104 S999\n")
    with pytest.raises(RefusedError, match="not checked"):
        await queue.start_print(job.job_id, other, "usb:1")
    assert (await queue.running(), await queue.bed()) == (None, Bed.CLEAR)


async def test_odd_figures_do_not_keep_a_print_from_ending(
    queue: Queue, stored: Stored, prepared: MakePrepared
) -> None:
    job = await _ready(queue, stored, prepared)
    record = await _started(queue, job, prepared)
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


async def test_references_name_what_jobs_need(queue: Queue, stored: Stored, prepared: MakePrepared) -> None:
    needed = await queue.add(stored("needed"))
    over = []
    for number in range(8):
        over.append(await queue.add(stored(f"over {number}")))
        await queue.cancel(over[-1].job_id)
    references = await queue.references()
    assert references.artefacts == {needed.artefact_sha256} | {job.artefact_sha256 for job in over[-5:]}
    assert (await queue.references(kept_files=0)).artefacts == {needed.artefact_sha256}
    ready = await _ready(queue, stored, prepared)
    assert (await queue.references()).prepared == {ready.prepared_sha256}


async def test_waiting_for_changes(queue: Queue, stored: Stored) -> None:
    version = queue.version
    waiting = asyncio.create_task(queue.wait_changed(version))
    await asyncio.sleep(0)
    assert not waiting.done()
    await queue.add(stored())
    assert await asyncio.wait_for(waiting, 5) == queue.version > version
    assert await asyncio.wait_for(queue.wait_changed(version), 5) == queue.version
    await queue.list()
    assert queue.version == version + 1, "reading changes nothing"


async def test_who_waits_is_woken_by_the_commit_not_by_the_callers_end(
    queue: Queue, stored: Stored, database: Database
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(_: Connection) -> None:
        entered.set()
        assert go_on.wait(10)

    blocking = asyncio.create_task(database.run(slow))
    await asyncio.to_thread(entered.wait, 10)
    version = queue.version
    adding = asyncio.create_task(queue.add(stored()))
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    for _ in range(5):
        await asyncio.sleep(0)
    assert queue.version == version
    go_on.set()
    await blocking
    await asyncio.wait_for(queue.wait_changed(version), 5)
    assert len(await queue.list()) == 1


async def test_other_facts_are_events_too(queue: Queue) -> None:
    seq = await queue.record(EventDraft(EventType.PORT, "gone", reason="port_lost"))
    (event,) = await queue.events_after(seq - 1)
    assert (event.type, event.reason, event.detail) == (EventType.PORT, "port_lost", "gone")


async def test_a_replaced_database_is_reported_and_the_bed_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this was a database once, now it is not" * 20)
    database = await Database.open(tmp_path / "x.db")
    queue = Queue(database, SystemClock())
    await queue.open()
    unit, bed = await queue.events_after(0)
    assert (unit.type, unit.state) == (EventType.UNIT, "database_replaced")
    assert unit.data["file"].startswith("x.db.corrupt-")
    assert (bed.type, await queue.bed()) == (EventType.BED, Bed.OCCUPIED)
    await database.close()


async def test_the_database_itself_refuses_two_jobs_on_one_bed(
    queue: Queue, stored: Stored, prepared: MakePrepared, database: Database
) -> None:
    one, two = [await _ready(queue, stored, prepared) for _ in range(2)]
    await _started(queue, one, prepared)
    await database.run(
        lambda connection: connection.execute("UPDATE meta SET value='clear' WHERE key='bed'").close()
    )
    with pytest.raises(FabunitError):
        await _started(queue, two, prepared)
    assert (await queue.get(two.job_id)).state is JobState.READY


async def test_events_are_read_in_bounded_pieces(queue: Queue, database: Database) -> None:
    draft = EventDraft(EventType.UNIT, "x")
    stamp = SystemClock().stamp()
    await database.run(lambda connection: [events.append(connection, draft, stamp) for _ in range(600)])
    first = await queue.events_after(0)
    assert len(first) == 500
    assert len(await queue.events_after(first[-1].seq)) == 100
    assert len(await queue.events_after(0, limit=3)) == 3
