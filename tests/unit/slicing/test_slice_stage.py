"""The stage between a mesh and the gate: states, refusals, holds in the middle, restarts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.artefact import Metadata, Prepared
from agent.domain.errors import ConfigError, FabunitError, RefusedError
from agent.domain.events import Stamp
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.jobs.stages.slice import (
    MeshOrder,
    MeshWorkshop,
    NotPrintableError,
    Phase,
    SliceStage,
    Workplace,
    facts_of,
    is_mesh,
    job_key,
    with_supports,
)
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.slice_shelf import SliceShelf
from agent.slicing.slicer import Progress
from agent.storage.artefacts import StoredArtefact
from agent.storage.database import Database
from tests.unit.slicing.fake_engine import BUNDLED, FakeEngine, setup_for

MESH = StoredArtefact("ab" * 32, 84, "stl", "part.stl")


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def stamp(self) -> Stamp:
        self.now_ms += 1000
        return Stamp(self.now_ms, self.now_ms, "boot-1")


class FakeWorkshop:
    """Makes what it is told; `error` is raised in the state it names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.orders: list[MeshOrder] = []
        self.error: Exception | None = None
        self.hang = False
        self.states: list[str] = []

    async def make(
        self, order: MeshOrder, *, on_phase: Phase | None = None, on_progress: Progress | None = None
    ) -> tuple[Path, dict[str, Any]]:
        self.orders.append(order)
        assert on_phase is not None
        for state in (JobState.CHECKING, JobState.SLICING):
            await on_phase(state)
            self.states.append(state.value)
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.path, {}


class Rig:
    def __init__(self, queue: Queue, directory: Path) -> None:
        self.queue = queue
        self.file = directory / "mesh.stl"
        self.file.write_bytes(b"x" * 84)
        self.workshop = FakeWorkshop(directory / "out.gcode")
        self.stage = SliceStage(queue, self.workshop, lambda _sha: self.file)

    async def state_after(self, job: Job) -> Job:
        await self.stage.run(job)
        return await self.queue.get(job.job_id)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    database = await Database.open(tmp_path / "fabunit.db")
    queue = Queue(database, Clock(), limits=QueueLimits(max_jobs=20), rng=random.Random(7))
    await queue.open()
    yield Rig(queue, tmp_path)
    await database.close()


async def test_a_mesh_goes_through_checking_and_slicing_to_the_gate(rig: Rig) -> None:
    job = await rig.queue.add(MESH, OrderOptions(material="petg", quality="fine"))
    assert is_mesh(job)
    assert (await rig.state_after(job)).state is JobState.VERIFYING
    assert rig.workshop.states == ["checking", "slicing"]
    order = rig.workshop.orders[0]
    assert (order.source, order.sha256, order.material, order.quality) == (
        rig.file,
        MESH.sha256,
        "petg",
        "fine",
    )


@pytest.mark.parametrize("began", [(), (Trigger.CHECK_BEGAN,), (Trigger.CHECK_BEGAN, Trigger.SLICE_BEGAN)])
async def test_an_interrupted_job_goes_on(began: tuple[Trigger, ...], rig: Rig) -> None:
    job = await rig.queue.add(MESH)
    for trigger in began:
        job = await rig.queue.apply(job.job_id, JobEvent(trigger))
    assert (await rig.state_after(job)).state is JobState.VERIFYING


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [(NotPrintableError("a hole", [{"id": "open"}]), JobState.REJECTED, Reason.GATE_REFUSED),
     (SliceError(SliceFailure.DOES_NOT_FIT, "too big"), JobState.REJECTED, Reason.GATE_REFUSED),
     (SliceError(SliceFailure.ENGINE_MISSING, "none"), JobState.FAILED, Reason.GATE_CRASHED),
     (SliceError(SliceFailure.TIMEOUT, "slow"), JobState.FAILED, Reason.GATE_CRASHED),
     (SliceError(SliceFailure.DISK_FULL, "full"), JobState.HELD, Reason.DISK_FULL),
     (RefusedError("no bed", code="material_unsuitable"), JobState.REJECTED, Reason.GATE_REFUSED),
     (ConfigError("line 3"), JobState.FAILED, Reason.GATE_CRASHED),
     (ValueError("bug"), JobState.FAILED, Reason.GATE_CRASHED)],
)  # fmt: skip
async def test_failures_end_the_job_with_a_reason(
    error: Exception, state: JobState, reason: Reason, rig: Rig
) -> None:
    rig.workshop.error = error
    after = await rig.state_after(await rig.queue.add(MESH))
    assert (after.state, after.reason) == (state, reason)
    assert str(error) in after.detail


async def test_a_lost_file_is_said(rig: Rig) -> None:
    rig.file.unlink()
    after = await rig.state_after(await rig.queue.add(MESH))
    assert (after.state, after.reason) == (JobState.FAILED, Reason.ARTEFACT_LOST)


@pytest.mark.parametrize("trigger", [Trigger.HELD, Trigger.CANCELLED])
async def test_a_hold_ends_the_work_at_once(trigger: Trigger, rig: Rig) -> None:
    rig.workshop.hang = True
    job = await rig.queue.add(MESH)
    running = asyncio.create_task(rig.stage.run(job))
    while (await rig.queue.get(job.job_id)).state is not JobState.SLICING:
        await asyncio.sleep(0.005)
    await rig.queue.apply(job.job_id, JobEvent(trigger, Reason.USER))
    await asyncio.wait_for(running, 5)
    assert (await rig.queue.get(job.job_id)).state in (JobState.HELD, JobState.CANCELLED)


async def test_the_gate_judges_the_slice_and_answers_for_the_mesh(tmp_path: Path, rig: Rig) -> None:
    """A mesh job's result is bound to the file that was ordered; other jobs go to the gate as they are."""
    seen: list[Path] = []

    async def inner(_job: Job, path: Path) -> Prepared:
        seen.append(path)
        return Prepared("cd" * 32, "p", 1, "ef" * 32, 1, 4, 200, (0,), (0.0,), (), Metadata(), (), {"a": 1})

    shelf = SliceShelf(tmp_path / "slices")
    shelf.open()
    place = Workplace("generic-220", [BUNDLED], tmp_path, tmp_path)
    workshop = MeshWorkshop(place, shelf, lambda: "marlin")
    made = tmp_path / "made.gcode"

    async def make(_order: MeshOrder) -> tuple[Path, dict[str, Any]]:
        return made, {"engine": "x"}

    workshop.make = make  # type: ignore[method-assign, assignment]
    gate: Callable[[Job, Path], Awaitable[Prepared]] = workshop.gate(inner)
    job = await rig.queue.add(MESH)
    prepared = await gate(job, rig.file)
    assert prepared.source_sha256 == MESH.sha256
    assert prepared.summary == {"a": 1, "slice": {"engine": "x"}}
    plain = replace(job, artefact_format="gcode")
    assert (await gate(plain, rig.file)).source_sha256 == "cd" * 32
    assert seen == [made, rig.file]


def test_supports_follow_the_check_unless_somebody_decided() -> None:
    needs = {"findings": [{"id": "island", "severity": "warning"}]}
    hint = {"findings": [{"id": "island", "severity": "info"}, {"id": "wall.thin", "severity": "warning"}]}
    plain = setup_for()
    assert with_supports(plain, needs).supports
    assert with_supports(plain, needs).digest != plain.digest
    assert with_supports(plain, hint) is plain
    assert not with_supports(setup_for(supports=False), needs).supports


def test_facts_need_a_closed_mesh_for_its_volume() -> None:
    mesh = {
        "size_mm": [1.0, 2.0, 3.0],
        "volume_mm3": 6.0,
        "triangles": 12,
        "open_edges": 0,
        "flipped_edges": 0,
    }
    facts = facts_of({"mesh": mesh})
    assert facts is not None
    assert (facts.size_mm, facts.volume_mm3) == ((1.0, 2.0, 3.0), 6.0)
    for change in ({"open_edges": 3}, {"flipped_edges": 1}, {"volume_mm3": -6.0}, {"volume_mm3": None}):
        opened = facts_of({"mesh": {**mesh, **change}})
        assert opened is not None
        assert opened.volume_mm3 is None
    assert facts_of({"mesh": None}) is None


def test_keys_of_jobs_differ_by_everything_that_counts() -> None:
    found = FakeEngine("").found()
    keys = {
        job_key("a" * 64, setup_for(), found),
        job_key("b" * 64, setup_for(), found),
        job_key("a" * 64, setup_for(quality="fine"), found),
        job_key("a" * 64, setup_for(), replace(found, version=(2, 0, 0))),
        job_key("a" * 64, setup_for(), replace(found, name="other")),
    }
    assert len(keys) == 5


def test_errors_name_what_to_do() -> None:
    for failure in SliceFailure:
        error: FabunitError = SliceError(failure, "x")
        assert error.remedy
        assert error.exit_code in (1, 4)
