"""Two lanes: G-code does not wait for a stranger's slice, and never do two heavy workers run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.domain.artefact import Prepared
from agent.domain.job import Job, JobState, Reason
from agent.jobs.meshes import Gate, Meshes, MeshSettings
from agent.jobs.orders import OrderOptions
from agent.jobs.preparation import Preparation
from agent.jobs.queue import Queue
from agent.jobs.stages.verify import Gatehouse
from agent.slicing.failure import SliceError, SliceFailure
from agent.storage.artefacts import ArtefactStore
from agent.storage.prepared import PreparedShelf
from tests.unit.jobs.mesh_bench import FakeWorkshop

PROFILE = "profile-1"
MakePrepared = Callable[..., Prepared]


class Workshop(FakeWorkshop):
    def gate(self, inner: Gate) -> Gate:
        return inner


class BenchMeshes(Meshes):
    """The real door, with a workshop that starts no worker behind it."""

    def __init__(self, folder: Path) -> None:
        actions = {"printable": "print"}
        super().__init__(
            MeshSettings(folder, "generic-220", [], "auto", "pla", "standard", actions, lambda: "marlin")
        )
        self.workshop = Workshop(folder)

    def _opened(self) -> Workshop:  # type: ignore[override] # what the stage asks of a workshop is all there
        return self.workshop


class SlowGate:
    """Writes the prepared file as the real gate does, then waits until it is let go."""

    def __init__(self, directory: Path, make: MakePrepared) -> None:
        self._directory = directory
        self._make = make
        self.go = asyncio.Event()
        self.go.set()
        self.began: list[str] = []
        self.running = 0
        self.most_running = 0

    async def __call__(self, job: Job, path: Path) -> Prepared:
        self.began.append(job.name)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            content = path.read_bytes()
            verdict: Prepared = self._make(
                hashlib.sha256(content).hexdigest(), content=content, profile=PROFILE
            )
            (self._directory / ".preparing-x.tmp").write_bytes(content)
            await self.go.wait()
            (self._directory / ".preparing-x.tmp").rename(self._directory / f"{verdict.sha256}.gcode")
            await asyncio.sleep(0)
            return verdict
        finally:
            self.running -= 1


class Rig:
    def __init__(self, queue: Queue, store: ArtefactStore, gate: SlowGate, folder: Path) -> None:
        self.queue = queue
        self.store = store
        self.gate = gate
        self.meshes = BenchMeshes(folder)
        self.workshop = self.meshes.workshop
        self.shelf = PreparedShelf(store.prepared_dir)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Preparation]:
        house = Gatehouse(self.queue, self.store, self.shelf, self.gate, PROFILE)
        preparation = Preparation(house, meshes=self.meshes)
        task = asyncio.create_task(preparation.run())
        try:
            yield preparation
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def add(self, name: str, priority: int = 0) -> Job:
        async def chunks() -> AsyncIterator[bytes]:
            yield f"G28 ; {name}\n".encode()

        return await self.queue.add(await self.store.add(chunks(), name), OrderOptions(priority=priority))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    async def until_state(self, job: Job, state: JobState) -> Job:
        async with asyncio.timeout(10):
            while (now := await self.queue.get(job.job_id)).state is not state:
                await asyncio.sleep(0.001)
        return now


@pytest.fixture
async def rig(queue: Queue, tmp_path: Path, prepared: MakePrepared) -> AsyncIterator[Rig]:
    store = ArtefactStore(tmp_path, 1_000_000, min_free_bytes=0)
    await store.open()
    yield Rig(queue, store, SlowGate(store.prepared_dir, prepared), tmp_path)
    await store.close()


@pytest.mark.parametrize("step", ["check", "slice"])
async def test_gcode_is_ready_while_a_mesh_of_higher_priority_takes_its_time(rig: Rig, step: str) -> None:
    rig.workshop.hang = step
    mesh = await rig.add("part.stl", priority=50)
    async with rig.running():
        await rig.until(lambda: rig.workshop.began[-1:] == [step])
        file = await rig.add("part.gcode", priority=-50)
        ready = await rig.until_state(file, JobState.READY)
        assert rig.shelf.path(ready.prepared_sha256 or "").is_file()
        assert (await rig.queue.get(mesh.job_id)).state in (JobState.CHECKING, JobState.SLICING)
        rig.workshop.hang = ""
        await rig.until_state(mesh, JobState.READY)


async def test_a_mesh_is_sliced_while_gcode_is_being_checked(rig: Rig) -> None:
    rig.gate.go.clear()
    file = await rig.add("long.gcode")
    async with rig.running():
        await rig.until(lambda: rig.gate.began == ["long.gcode"])
        mesh = await rig.add("part.stl")
        await rig.until_state(mesh, JobState.VERIFYING)
        assert rig.gate.began == ["long.gcode"], "one gate at a time"
        rig.gate.go.set()
        await rig.until_state(mesh, JobState.READY)
        await rig.until_state(file, JobState.READY)
    assert rig.gate.most_running == 1


async def test_two_heavy_workers_never_run(rig: Rig) -> None:
    """The bench of the fake workshop is one directory: a second mesh on it would fail."""
    rig.workshop.hang = "slice"
    first = await rig.add("a.stl")
    async with rig.running():
        await rig.until(lambda: rig.workshop.began[-1:] == ["slice"])
        second, urgent = await rig.add("b.stl"), await rig.add("c.stl", priority=10)
        await rig.until_state(await rig.add("part.gcode"), JobState.READY)
        assert (await rig.queue.get(second.job_id)).state is JobState.RECEIVED
        assert (await rig.queue.get(urgent.job_id)).state is JobState.RECEIVED
        rig.workshop.hang = ""
        for job in (first, urgent, second):
            await rig.until_state(job, JobState.READY)
    assert rig.gate.began == ["part.gcode", "c.stl", "a.stl", "b.stl"], "a lane keeps the order of the queue"


async def test_priority_rules_in_the_lane_of_gcode(rig: Rig) -> None:
    rig.gate.go.clear()
    await rig.add("first.gcode")
    async with rig.running():
        await rig.until(lambda: bool(rig.gate.began))
        last, urgent = await rig.add("last.gcode"), await rig.add("urgent.gcode", priority=5)
        rig.gate.go.set()
        for job in (last, urgent):
            await rig.until_state(job, JobState.READY)
    assert rig.gate.began == ["first.gcode", "urgent.gcode", "last.gcode"]


async def test_cancelling_one_lane_leaves_the_other_alone(rig: Rig) -> None:
    rig.workshop.hang = "slice"
    rig.gate.go.clear()
    mesh, file = await rig.add("a.stl"), await rig.add("part.gcode")
    async with rig.running():
        await rig.until(lambda: rig.workshop.began[-1:] == ["slice"] and bool(rig.gate.began))
        await rig.queue.cancel(mesh.job_id)
        await rig.until(lambda: rig.workshop.ended[-1:] == ["slice"])
        assert rig.gate.running == 1
        rig.gate.go.set()
        await rig.until_state(file, JobState.READY)
        rig.gate.go.clear()
        second, third = await rig.add("b.gcode"), await rig.add("c.stl")
        await rig.until(lambda: rig.gate.began[-1:] == ["b.gcode"])
        await rig.queue.hold(second.job_id)
        await rig.until(lambda: not rig.gate.running)
        await rig.until(lambda: rig.workshop.began.count("slice") == 2)
        rig.workshop.hang = ""
        rig.gate.go.set()
        await rig.until_state(third, JobState.READY)
    assert (await rig.queue.get(mesh.job_id)).state is JobState.CANCELLED
    assert (await rig.queue.get(second.job_id)).state is JobState.HELD


async def test_what_was_killed_in_both_lanes_goes_on_in_both(rig: Rig) -> None:
    rig.workshop.hang = "slice"
    rig.gate.go.clear()
    mesh, file = await rig.add("a.stl"), await rig.add("part.gcode")
    async with rig.running():
        await rig.until(lambda: rig.workshop.began[-1:] == ["slice"] and bool(rig.gate.began))
    assert (await rig.queue.get(mesh.job_id)).state is JobState.SLICING
    assert (await rig.queue.get(file.job_id)).state is JobState.VERIFYING
    rig.workshop.hang = ""
    rig.gate.go.set()
    async with rig.running():
        for job in (mesh, file):
            await rig.until_state(job, JobState.READY)
    assert not list(rig.store.prepared_dir.glob(".preparing*"))


async def test_room_for_a_slice_does_not_cost_the_file_that_is_being_checked(rig: Rig) -> None:
    """A full disk in one lane sweeps the shelf; what the other lane's gate has just written has no job yet."""
    rig.gate.go.clear()
    rig.workshop.hang = "slice"
    file, mesh = await rig.add("part.gcode"), await rig.add("a.stl")
    async with rig.running():
        await rig.until(lambda: rig.workshop.began[-1:] == ["slice"] and bool(rig.gate.began))
        (rig.store.prepared_dir / f"{'0' * 64}.gcode").write_bytes(b"of no job")
        rig.workshop.errors = [SliceError(SliceFailure.DISK_FULL, "full")]
        rig.workshop.hang = ""
        await rig.until_state(mesh, JobState.VERIFYING)
        rig.gate.go.set()
        ready = await rig.until_state(file, JobState.READY)
        assert rig.shelf.path(ready.prepared_sha256 or "").is_file()
        await rig.until_state(mesh, JobState.READY)
        assert not [one for one in await rig.queue.events_after(0) if one.reason == Reason.DISK_FULL.value]
        await rig.until(lambda: not (rig.store.prepared_dir / f"{'0' * 64}.gcode").exists())
        assert rig.shelf.path(ready.prepared_sha256 or "").is_file()
