from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import pytest

from agent.domain.artefact import Finding, Severity
from agent.domain.errors import FabunitError, NotFoundError, RefusedError, UsageError
from agent.domain.events import EventDraft, EventType
from agent.domain.job import JobState, Reason
from agent.domain.prints import Bed
from agent.jobs.ids import ALPHABET, new_id, spellings
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.placement import LAST, At
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage import events
from agent.storage.clock import SystemClock
from agent.storage.database import Connection, Database
from tests.unit.jobs.queue_bench import MakePrepared, Stored, ready_job, started_print, story


async def test_added_jobs_are_listed_in_order(queue: Queue, stored: Stored) -> None:
    first = await queue.add(stored())
    second = await queue.add(stored(), OrderOptions(copies=3, material="PETG", quality="fine"))
    urgent = await queue.add(stored(), OrderOptions(priority=5, is_held=True))
    assert [job.job_id for job in await queue.list()] == [urgent.job_id, first.job_id, second.job_id]
    assert (second.copies, second.material, second.quality, second.source) == (3, "PETG", "fine", "local")
    assert (urgent.state, urgent.held_from) == (JobState.HELD, JobState.RECEIVED)
    assert urgent.reason is Reason.HOLD_REQUESTED
    assert await story(queue) == [("job", "received")] * 3 + [("job", "held")]
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
    assert await story(queue) == [
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


async def test_references_name_what_jobs_need(queue: Queue, stored: Stored, prepared: MakePrepared) -> None:
    needed = await queue.add(stored("needed"))
    over = []
    for number in range(8):
        over.append(await queue.add(stored(f"over {number}")))
        await queue.cancel(over[-1].job_id)
    references = await queue.references()
    assert references.artefacts == {needed.artefact_sha256} | {job.artefact_sha256 for job in over[-5:]}
    assert (await queue.references(kept_files=0)).artefacts == {needed.artefact_sha256}
    ready = await ready_job(queue, stored, prepared)
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
    one, two = [await ready_job(queue, stored, prepared) for _ in range(2)]
    await started_print(queue, one, prepared)
    await database.run(
        lambda connection: connection.execute("UPDATE meta SET value='clear' WHERE key='bed'").close()
    )
    with pytest.raises(FabunitError):
        await started_print(queue, two, prepared)
    assert (await queue.get(two.job_id)).state is JobState.READY


async def test_events_are_read_in_bounded_pieces(queue: Queue, database: Database) -> None:
    draft = EventDraft(EventType.UNIT, "x")
    stamp = SystemClock().stamp()
    await database.run(lambda connection: [events.append(connection, draft, stamp) for _ in range(600)])
    first = await queue.events_after(0)
    assert len(first) == 500
    assert len(await queue.events_after(first[-1].seq)) == 100
    assert len(await queue.events_after(0, limit=3)) == 3
