from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet

import pytest

from agent.domain.errors import FabunitError, StorageError
from agent.domain.fetching import FetchError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.queue import Queue
from agent.jobs.stages.fetch import FetchProgress, FetchStage, Patience
from agent.storage.artefacts import StoredArtefact

FAST = Patience(first_s=0.001, most_s=0.004, give_up_s=3600.0)


def busy(received_bytes: int = 0) -> FetchError:
    return FetchError("busy", code="http_busy", is_transient=True, received_bytes=received_bytes)


class FakeSource:
    """Answers each attempt with the next of its plan; at the end of the plan it succeeds."""

    def __init__(self) -> None:
        self.plan: list[FabunitError | Exception] = []
        self.attempts: list[str] = []
        self.stored: set[str] = set()
        self.kept: list[frozenset[str]] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.was_cancelled = False

    def has(self, sha256: str) -> bool:
        return sha256 in self.stored

    async def fetch(self, job: Job, on_progress: Callable[[int, int], None]) -> None:
        self.attempts.append(job.job_id)
        on_progress(1, job.artefact_size)
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self.plan:
            raise self.plan.pop(0)
        self.stored.add(job.artefact_sha256)

    async def collect(self, keep: AbstractSet[str]) -> None:
        self.kept.append(frozenset(keep))


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


async def ordered(queue: Queue, name: str = "a", *, state: Trigger | None = Trigger.FETCH_BEGAN) -> Job:
    data = name.encode()
    artefact = StoredArtefact(hashlib.sha256(data).hexdigest(), len(data), "gcode", name)
    job = await queue.add(artefact, OrderOptions(source="coordinator"))
    return job if state is None else await queue.apply(job.job_id, JobEvent(state))


@contextlib.asynccontextmanager
async def running(stage: FetchStage) -> AsyncIterator[None]:
    task = asyncio.create_task(stage.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def reaches(queue: Queue, job: Job, state: JobState) -> Job:
    async with asyncio.timeout(30):
        version = queue.version
        while (now := await queue.get(job.job_id)).state is not state:
            version = await queue.wait_changed(version)
        return now


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_fetched_job_goes_on(queue: Queue, source: FakeSource) -> None:
    job = await ordered(queue)
    async with running(FetchStage(queue, source)):
        await reaches(queue, job, JobState.VERIFYING)
    assert source.attempts == [job.job_id]


async def test_where_it_goes_on_depends_on_the_job(queue: Queue, source: FakeSource) -> None:
    job = await ordered(queue)
    async with running(FetchStage(queue, source, onward=lambda _: Trigger.CHECK_BEGAN)):
        gone_on = await reaches(queue, job, JobState.CHECKING)
    assert gone_on.state is JobState.CHECKING
    assert source.attempts == [job.job_id]


async def test_what_fails_for_now_is_tried_again(queue: Queue, source: FakeSource) -> None:
    source.plan = [busy() for _ in range(5)]
    job = await ordered(queue)
    stage = FetchStage(queue, source, patience=FAST)
    async with running(stage):
        await reaches(queue, job, JobState.VERIFYING)
    assert len(source.attempts) == 6


@pytest.mark.parametrize(
    ("code", "reason"), [("hash_mismatch", Reason.HASH_MISMATCH), ("address_refused", Reason.FETCH_FAILED)]
)
async def test_what_never_can_succeed_rejects_the_job(
    queue: Queue, source: FakeSource, code: str, reason: Reason
) -> None:
    source.plan = [FetchError("no", code=code, remedy="order another")]
    job = await ordered(queue)
    async with running(FetchStage(queue, source, patience=FAST)):
        rejected = await reaches(queue, job, JobState.REJECTED)
    assert rejected.reason is reason
    assert rejected.detail == "no; order another"
    events = await queue.events_after(0)
    assert events[-1].data["code"] == code


async def test_a_full_disk_makes_room_once_then_holds(queue: Queue, source: FakeSource) -> None:
    made: list[bool] = []

    async def make_room() -> None:
        made.append(True)

    source.plan = [StorageError("full", code="disk_full"), StorageError("full", code="disk_full")]
    job = await ordered(queue)
    async with running(FetchStage(queue, source, make_room=make_room, patience=FAST)):
        held = await reaches(queue, job, JobState.HELD)
        assert held.reason is Reason.DISK_FULL
        assert held.held_from is JobState.FETCHING
        assert made == [True]
        assert source.kept[-1] == {job.artefact_sha256}, "what has arrived waits for the release"
        await queue.release(job.job_id)
        await reaches(queue, job, JobState.VERIFYING)


async def test_a_fault_in_the_unit_fails_the_job_only(queue: Queue, source: FakeSource) -> None:
    source.plan = [ValueError("bug"), StorageError("card gone")]
    first, second = await ordered(queue, "a"), await ordered(queue, "b")
    third = await ordered(queue, "c")
    async with running(FetchStage(queue, source, patience=FAST)):
        assert "ValueError" in (await reaches(queue, first, JobState.FAILED)).detail
        await reaches(queue, second, JobState.FAILED)
        await reaches(queue, third, JobState.VERIFYING)


@pytest.mark.parametrize("end", [Trigger.CANCELLED, Trigger.HELD])
async def test_a_job_that_is_not_wanted_any_more_ends_its_download(
    queue: Queue, source: FakeSource, end: Trigger
) -> None:
    source.is_open.clear()
    job = await ordered(queue)
    stage = FetchStage(queue, source)
    async with running(stage):
        await until(lambda: bool(source.attempts))
        assert stage.progress == FetchProgress(job.job_id, 1, job.artefact_size)
        await queue.apply(job.job_id, JobEvent(end))
        await until(lambda: source.was_cancelled)
        await until(lambda: stage.progress is None)


async def test_a_job_that_waits_for_its_server_does_not_hold_up_others(
    queue: Queue, source: FakeSource
) -> None:
    source.plan = [busy()]
    first, second = await ordered(queue, "a"), await ordered(queue, "b")
    stage = FetchStage(queue, source, patience=Patience(first_s=600))
    async with running(stage):
        await reaches(queue, second, JobState.VERIFYING)
        assert (await queue.get(first.job_id)).state is JobState.FETCHING
        assert stage.problem(first.job_id) == "busy"
        assert stage.problem(second.job_id) == ""


class Steps:
    """A clock and the waits a stage planned, without waiting."""

    def __init__(self, queue: Queue, source: FakeSource, patience: Patience) -> None:
        self.now_s = 0.0
        self.stage = FetchStage(
            queue, source, patience=patience, clock=lambda: self.now_s, rng=random.Random(3)
        )

    async def attempt(self, job: Job, error: FetchError, source: FakeSource) -> float:
        """Make the due attempt fail; returns how long the stage will wait now."""
        source.plan = [error]
        await self.stage._fetch(job)
        return self.stage._next_s(job) - self.now_s


async def test_waits_double_up_to_a_bound_and_start_again_with_progress(
    queue: Queue, source: FakeSource
) -> None:
    job = await ordered(queue)
    steps = Steps(queue, source, Patience(first_s=10, most_s=100))
    waits = [await steps.attempt(job, busy(), source) for _ in range(8)]
    for number, wait_s in enumerate(waits):
        assert min(100, 10 * 2**number) / 2 <= wait_s <= min(100, 10 * 2**number)
    assert len(set(waits)) == len(waits), "units must not come back together"
    assert await steps.attempt(job, busy(received_bytes=1), source) <= 10
    asked = FetchError("later", code="http_busy", is_transient=True, retry_after_s=3000)
    assert await steps.attempt(job, asked, source) == 3000


async def test_a_job_is_given_up_after_a_day_without_a_byte(queue: Queue, source: FakeSource) -> None:
    job = await ordered(queue)
    steps = Steps(queue, source, Patience(give_up_s=1000))
    await steps.attempt(job, busy(), source)
    steps.now_s = 999
    await steps.attempt(job, busy(received_bytes=5), source)
    steps.now_s = 1998
    await steps.attempt(job, busy(received_bytes=5), source)
    assert (await queue.get(job.job_id)).state is JobState.FETCHING
    steps.now_s = 1999
    await steps.attempt(job, busy(received_bytes=5), source)
    failed = await queue.get(job.job_id)
    assert failed.state is JobState.FAILED
    assert "given up" in failed.detail


async def test_claim_takes_ordered_jobs_without_their_file_only(queue: Queue, source: FakeSource) -> None:
    stage = FetchStage(queue, source)
    missing = await ordered(queue, "a", state=None)
    assert await stage.claim(missing)
    assert (await queue.get(missing.job_id)).state is JobState.FETCHING
    there = await ordered(queue, "b", state=None)
    source.stored.add(there.artefact_sha256)
    assert not await stage.claim(there)
    local = await queue.add(StoredArtefact("c" * 64, 1, "gcode", "c"))
    assert not await stage.claim(local)
    gone = await ordered(queue, "d", state=None)
    await queue.cancel(gone.job_id)
    assert await stage.claim(gone), "the job was cancelled meanwhile: nobody else should take it either"
    assert (await queue.get(gone.job_id)).state is JobState.CANCELLED


async def test_a_restart_takes_interrupted_jobs_up_again(queue: Queue, source: FakeSource) -> None:
    source.is_open.clear()
    job = await ordered(queue)
    async with running(FetchStage(queue, source)):
        await until(lambda: bool(source.attempts))
    assert (await queue.get(job.job_id)).state is JobState.FETCHING
    source.is_open.set()
    async with running(FetchStage(queue, source)):
        await reaches(queue, job, JobState.VERIFYING)
