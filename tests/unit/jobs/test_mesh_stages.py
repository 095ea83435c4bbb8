"""From a mesh to the gate: verdicts and what they do, failures, retries, holds in the middle, restarts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.errors import (
    ArtefactError,
    ConfigError,
    FabunitError,
    NotFoundError,
    RefusedError,
    StorageError,
)
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.mesh_formats import is_mesh
from agent.jobs.mesh_ledger import MeshLedger
from agent.jobs.orders import OrderOptions
from agent.jobs.queue import Queue
from agent.jobs.stages.check import Action, CheckPolicy
from agent.jobs.stages.mesh import MeshStage
from agent.jobs.stages.mesh_words import NotPrintableError, demand_printable, facts_of
from agent.jobs.stages.workshop import NEEDS_SUPPORT, job_key, with_supports
from agent.slicing.failure import SliceError, SliceFailure
from agent.storage.artefacts import StoredArtefact
from tests.unit.jobs.mesh_bench import SETUP, FakeWorkshop, report
from tests.unit.slicing.fake_engine import FakeEngine, setup_for

MESH = StoredArtefact("ab" * 32, 84, "stl", "part.stl")
WARNED = report("printable_with_warnings", ("warning", "island"))
OPEN = report("not_printable", ("error", "mesh.open_edges"), ("warning", "wall.thin"))
UNKNOWN = report("undetermined", ("warning", "size.units"))
CRASHED = report("undetermined", ("warning", "check.incomplete"))


class Rig:
    def __init__(self, queue: Queue, folder: Path) -> None:
        self.queue = queue
        self.file = folder / "mesh.stl"
        self.file.write_bytes(b"x" * 84)
        self.workshop = FakeWorkshop(folder)
        self.now_s = 1000.0
        self.rooms = 0
        self.stage = self.new_stage()
        self.ledger = MeshLedger(queue)

    def new_stage(self, policy: CheckPolicy | None = None) -> MeshStage:
        """As after a restart of the daemon."""

        async def make_room() -> None:
            self.rooms += 1

        self.stage = MeshStage(
            self.queue,
            self.workshop,
            policy or CheckPolicy(),
            lambda _sha: self.file,
            make_room=make_room,
            clock=lambda: self.now_s,
        )
        return self.stage

    async def add(self, **options: str) -> Job:
        return await self.queue.add(MESH, OrderOptions(**options))  # type: ignore[arg-type]

    async def run(self, job: Job) -> Job:
        await self.stage.run(await self.queue.get(job.job_id))
        return await self.queue.get(job.job_id)

    def is_busy(self) -> bool:
        return self.stage.preparing is not None

    async def states(self) -> list[str | None]:
        return [event.state for event in await self.queue.events_after(0)]


@pytest.fixture
def rig(queue: Queue, tmp_path: Path) -> Rig:
    return Rig(queue, tmp_path)


async def test_a_mesh_goes_through_checking_and_slicing_to_the_gate(rig: Rig) -> None:
    job = await rig.add(material="petg", quality="fine")
    assert is_mesh(job)
    after = await rig.run(job)
    assert after.state is JobState.VERIFYING
    assert await rig.states() == ["received", "checking", "slicing", "verifying"]
    order = rig.workshop.orders[0]
    assert (order.source, order.sha256, order.material, order.quality) == (
        rig.file,
        MESH.sha256,
        "petg",
        "fine",
    )
    events = await rig.queue.events_after(0)
    assert events[2].data["check"]["verdict"] == "printable"
    assert events[3].data["slice"]["setup_digest"] == SETUP.digest
    assert all(len(json.dumps(event.data)) < 1000 for event in events)
    row = await rig.ledger.of(after)
    assert row.checked is not None
    assert row.sliced is not None
    assert row.checked["setup_digest"] == SETUP.digest
    assert row.checked["report"] == str(rig.workshop.folder / "report.json")
    assert not (rig.workshop.folder / "bench").exists()


@pytest.mark.parametrize(
    ("found", "state", "reason"),
    [(WARNED, JobState.VERIFYING, None), (UNKNOWN, JobState.HELD, Reason.CHECK_UNDETERMINED),
     (OPEN, JobState.REJECTED, Reason.NOT_PRINTABLE),
     (report("something new"), JobState.HELD, Reason.CHECK_UNDETERMINED)],
)  # fmt: skip
async def test_each_verdict_has_its_consequence(
    found: dict[str, object], state: JobState, reason: Reason | None, rig: Rig
) -> None:
    rig.workshop.report = found
    after = await rig.run(await rig.add())
    assert (after.state, after.reason) == (state, reason)
    if state is not JobState.VERIFYING:
        assert after.detail
        assert rig.workshop.made == []
        event = (await rig.queue.events_after(0))[-1]
        assert event.data["check"]["verdict"] == found["verdict"]
        row = await rig.ledger.of(after)
        assert row.checked is not None
        assert row.checked["verdict"] == found["verdict"]


async def test_the_policy_is_the_makers(rig: Rig) -> None:
    rig.new_stage(
        CheckPolicy(printable=Action.HOLD, printable_with_warnings=Action.HOLD, undetermined=Action.REJECT)
    )
    ends = []
    for found in (report(), WARNED, UNKNOWN):
        rig.workshop.report, rig.workshop.kept = found, None
        after = await rig.run(await rig.add())
        ends.append((after.state, after.reason))
    assert ends == [
        (JobState.HELD, Reason.APPROVAL),
        (JobState.HELD, Reason.CHECK_WARNINGS),
        (JobState.REJECTED, Reason.CHECK_UNDETERMINED),
    ]


async def test_a_release_is_the_answer_also_for_the_next_daemon(rig: Rig) -> None:
    rig.workshop.report = UNKNOWN
    job = await rig.add()
    held = await rig.run(job)
    assert (held.state, held.held_from) == (JobState.HELD, JobState.CHECKING)
    assert "fabunit job release" in held.detail
    await rig.queue.release(job.job_id)
    rig.new_stage()
    assert (await rig.run(job)).state is JobState.VERIFYING
    other = await rig.add()
    assert (await rig.run(other)).state is JobState.HELD, "each job has its own question"


async def test_a_kill_before_the_question_is_on_record_asks_again(rig: Rig) -> None:
    """The hold and the note that somebody was asked are one transaction: no daemon answers for the maker."""
    rig.workshop.report = rig.workshop.kept = UNKNOWN
    job = await rig.queue.apply((await rig.add()).job_id, JobEvent(Trigger.CHECK_BEGAN))
    assert (await rig.ledger.of(job)).asked == ""
    assert (await rig.run(job)).state is JobState.HELD
    row = await rig.ledger.of(job)
    assert row.asked
    await rig.queue.cancel(job.job_id)
    retried = await rig.queue.retry(job.job_id)
    assert (await rig.ledger.of(retried)).asked == "", "a new attempt is asked anew"


async def test_what_is_known_is_not_done_again(rig: Rig) -> None:
    rig.workshop.kept = OPEN
    assert (await rig.run(await rig.add())).state is JobState.REJECTED
    rig.workshop.kept, rig.workshop.is_sliced = WARNED, True
    assert (await rig.run(await rig.add())).state is JobState.VERIFYING
    assert rig.workshop.examined == 0
    rig.workshop.is_sliced = False
    assert (await rig.run(await rig.add())).state is JobState.VERIFYING
    assert rig.workshop.examined == 1, "the slicer needs the mesh as the check has written it"


@pytest.mark.parametrize("began", [(), (Trigger.CHECK_BEGAN,), (Trigger.CHECK_BEGAN, Trigger.SLICE_BEGAN)])
async def test_an_interrupted_job_goes_on(began: tuple[Trigger, ...], rig: Rig) -> None:
    job = await rig.add()
    for trigger in began:
        job = await rig.queue.apply(job.job_id, JobEvent(trigger))
    assert (await rig.run(job)).state is JobState.VERIFYING


async def test_a_mesh_that_nobody_can_read_is_never_sliced(rig: Rig) -> None:
    """Not even where the maker prints everything: there is nothing to slice."""
    rig.new_stage(CheckPolicy(not_printable=Action.PRINT, undetermined=Action.PRINT))
    rig.workshop.report, rig.workshop.is_readable = (
        report("not_printable", ("error", "file.truncated")),
        False,
    )
    after = await rig.run(await rig.add())
    assert (after.state, after.reason) == (JobState.REJECTED, Reason.NOT_PRINTABLE)
    assert "file.truncated" in after.detail
    assert rig.workshop.made == []


async def test_a_check_that_crashes_is_tried_again_and_then_given_up(rig: Rig) -> None:
    rig.workshop.report, rig.workshop.is_readable = CRASHED, False
    job = await rig.add()
    for waited in (10.0, 60.0):
        after = await rig.run(job)
        assert after.state is JobState.CHECKING
        assert rig.stage.postponed() == {job.job_id}
        assert rig.stage.wait_s() == waited
        event = (await rig.queue.events_after(0))[-1]
        assert (event.reason, event.data["event"], event.data["again_in_s"]) == (
            Reason.CHECK_FAILED, "postponed", waited,
        )  # fmt: skip
        rig.now_s += waited
        assert rig.stage.postponed() == frozenset()
    held = await rig.run(job)
    assert (held.state, held.reason) == (JobState.HELD, Reason.CHECK_UNDETERMINED)
    await rig.queue.release(job.job_id)
    rig.new_stage()
    rig.stage = MeshStage(rig.queue, rig.workshop, CheckPolicy(), lambda _: rig.file, retries_s={})
    failed = await rig.run(job)
    assert (failed.state, failed.reason) == (JobState.FAILED, Reason.CHECK_FAILED)


async def test_an_engine_that_needs_memory_waits_for_it(rig: Rig) -> None:
    rig.workshop.errors = [
        SliceError(SliceFailure.OUT_OF_MEMORY, "not now"),
        SliceError(SliceFailure.TIMEOUT, "no"),
    ]
    job = await rig.add()
    assert (await rig.run(job)).state is JobState.SLICING
    assert rig.stage.wait_s() == 10.0
    rig.now_s += 10
    # A second failure of another kind has its own waits, of which one is used up by now.
    assert (await rig.run(job)).state is JobState.FAILED
    assert rig.stage.wait_s() is None


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [(SliceError(SliceFailure.DOES_NOT_FIT, "too big"), JobState.REJECTED, Reason.SLICE_REFUSED),
     (SliceError(SliceFailure.ENGINE_MISSING, "none"), JobState.FAILED, Reason.SLICER_MISSING),
     (SliceError(SliceFailure.PROFILE_INVALID, "odd"), JobState.FAILED, Reason.SLICE_FAILED),
     (StorageError("disk", code="io"), JobState.FAILED, Reason.SLICE_FAILED),
     (RefusedError("no bed", code="material_unsuitable"), JobState.REJECTED, Reason.PROFILE_UNSUITABLE),
     (NotFoundError("no material", code="profile_not_found"), JobState.REJECTED, Reason.PROFILE_UNSUITABLE),
     (ArtefactError("other", code="hash_mismatch"), JobState.FAILED, Reason.HASH_MISMATCH),
     (ConfigError("line 3"), JobState.FAILED, Reason.SLICE_FAILED),
     (ValueError("bug"), JobState.FAILED, Reason.SLICE_FAILED)],
)  # fmt: skip
@pytest.mark.parametrize("where", ["plan", "slice"])
async def test_failures_end_the_job_with_a_reason(
    where: str, error: Exception, state: JobState, reason: Reason, rig: Rig
) -> None:
    if where == "plan":
        rig.workshop.plan_error = error
    else:
        rig.workshop.errors = [error]
    after = await rig.run(await rig.add())
    assert (after.state, after.reason) == (state, reason)
    assert str(error) in after.detail


async def test_a_full_disk_is_cleared_once_then_the_job_is_held(rig: Rig) -> None:
    rig.workshop.errors = [SliceError(SliceFailure.DISK_FULL, "full")]
    assert (await rig.run(await rig.add())).state is JobState.VERIFYING
    assert rig.rooms == 1
    rig.workshop.errors = [SliceError(SliceFailure.DISK_FULL, "full"), StorageError("full", code="disk_full")]
    after = await rig.run(await rig.add())
    assert (after.state, after.reason, after.held_from) == (JobState.HELD, Reason.DISK_FULL, JobState.SLICING)


async def test_a_lost_file_is_said(rig: Rig) -> None:
    rig.file.unlink()
    after = await rig.run(await rig.add())
    assert (after.state, after.reason) == (JobState.FAILED, Reason.ARTEFACT_LOST)


@pytest.mark.parametrize("trigger", [Trigger.HELD, Trigger.CANCELLED])
@pytest.mark.parametrize("what", ["check", "slice"])
async def test_a_hold_ends_the_work_at_once(what: str, trigger: Trigger, rig: Rig) -> None:
    rig.workshop.hang = what
    state = {"check": JobState.CHECKING, "slice": JobState.SLICING}[what]
    job = await rig.add()
    running = asyncio.create_task(rig.stage.run(job))
    async with asyncio.timeout(5):
        while what not in rig.workshop.began:
            await asyncio.sleep(0.001)
        assert (await rig.queue.get(job.job_id)).state is state
        assert rig.is_busy()
        await rig.queue.apply(job.job_id, JobEvent(trigger, Reason.USER))
        await running
    assert rig.workshop.ended[-1] == what
    assert (await rig.queue.get(job.job_id)).state in (JobState.HELD, JobState.CANCELLED)
    assert not rig.is_busy()
    assert not (rig.workshop.folder / "bench").exists()


def test_supports_follow_the_check_unless_somebody_decided() -> None:
    plain = setup_for()
    for identity in NEEDS_SUPPORT:
        needs = report("printable_with_warnings", ("warning", identity))
        assert with_supports(plain, needs).supports
        assert with_supports(plain, needs).digest != plain.digest
        assert not with_supports(setup_for(supports=False), needs).supports
    hint = report("printable_with_warnings", ("info", "island"), ("warning", "wall.thin"))
    assert with_supports(plain, hint) is plain


def test_every_finding_that_asks_for_supports_exists() -> None:
    """The ids are those of the checks: a misspelt one would switch supports on for nothing."""
    folder = Path(__file__).parents[3] / "agent" / "mesh" / "checks"
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    assert {identity for identity in NEEDS_SUPPORT if f'"{identity}"' not in source} == set()


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


def test_the_command_line_refuses_what_a_queue_would_reject() -> None:
    demand_printable(WARNED)
    with pytest.raises(NotPrintableError) as refused:
        demand_printable(OPEN)
    assert refused.value.findings[0]["id"] == "mesh.open_edges"
    assert refused.value.exit_code == 4


def test_the_command_line_does_not_decide_what_nobody_knows() -> None:
    with pytest.raises(FabunitError, match="could not be determined") as unknown:
        demand_printable(UNKNOWN)
    assert (unknown.value.code, unknown.value.exit_code) == ("undetermined", 1)


def test_errors_name_what_to_do() -> None:
    for failure in SliceFailure:
        error = SliceError(failure, "x")
        assert error.remedy
        assert error.exit_code in (1, 4)
