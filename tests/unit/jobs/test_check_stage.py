from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.domain.job import Job, JobState, Reason
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.jobs.machine import Trigger, advance
from agent.jobs.stages.check import Action, CheckPolicy, MeshCheck
from agent.mesh.limits import Limits, derive
from agent.mesh.report.document import incomplete
from agent.mesh.request import Request


@pytest.fixture
def mesh_limits() -> Limits:
    return derive(PrinterProfile("p", "P", "d", (220, 220, 250), 0.4, 1, HeaterLimits(280), None, None))


def job(state: JobState = JobState.CHECKING) -> Job:
    return Job(
        "j-1", 1, state, "part.stl", "0" * 64, "stl", 684, 1, 0, 1.0, 0, "cli", None, None, None, "", None, 1, 0, 0
    )  # fmt: skip


def report(limits: Limits, verdict: str) -> dict[str, Any]:
    return {**incomplete(limits, "no reason"), "verdict": verdict}


@pytest.mark.parametrize(
    ("verdict", "trigger"),
    [("printable", None), ("printable_with_warnings", None), ("undetermined", Trigger.HELD),
     ("not_printable", Trigger.REJECTED), ("something new", Trigger.HELD)],
)  # fmt: skip
async def test_each_verdict_has_its_consequence(
    tmp_path: Path, mesh_limits: Limits, verdict: str, trigger: Trigger | None
) -> None:
    event = await MeshCheck(tmp_path, CheckPolicy()).event(job(), report(mesh_limits, verdict))
    assert (None if event is None else event.trigger) == trigger
    if event is not None:
        assert len(json.dumps(event.data)) < 1000
        assert event.detail
        assert advance(job(), event, 5).job.state in (JobState.HELD, JobState.REJECTED)


async def test_the_policy_is_the_makers(tmp_path: Path, mesh_limits: Limits) -> None:
    strict = MeshCheck(tmp_path, CheckPolicy(printable_with_warnings=Action.HOLD, undetermined=Action.REJECT))
    held = await strict.event(job(), report(mesh_limits, "printable_with_warnings"))
    rejected = await strict.event(job(), report(mesh_limits, "undetermined"))
    assert held is not None
    assert rejected is not None
    assert (held.trigger, rejected.trigger, rejected.reason) == (
        Trigger.HELD,
        Trigger.REJECTED,
        Reason.GATE_REFUSED,
    )


async def test_a_released_job_is_not_held_again(tmp_path: Path, mesh_limits: Limits) -> None:
    found = report(mesh_limits, "undetermined")
    assert await MeshCheck(tmp_path / "new", CheckPolicy()).event(job(), found) is not None
    # Another daemon on the same disk: a restart asks nobody twice.
    assert await MeshCheck(tmp_path / "new", CheckPolicy()).event(job(), found) is None


async def test_a_kept_report_is_not_made_again(tmp_path: Path, mesh_limits: Limits) -> None:
    source = tmp_path / "part.stl"
    source.write_bytes(
        b"solid x\n"
        + b"facet normal 0 0 0\nouter loop\nvertex 0 0 0\nvertex 9 0 0\nvertex 0 9 9\nendloop\nendfacet\n" * 2
        + b"endsolid x\n"
    )  # fmt: skip
    check = MeshCheck(tmp_path / "kept", CheckPolicy())
    request = Request(source, "part.stl", mesh_limits)
    first = await check.report(job(), request)
    mine = Job(
        **{
            **{name: getattr(job(), name) for name in Job.__slots__},
            "artefact_sha256": first["file"]["sha256"],
        }
    )
    source.unlink()
    assert await check.report(mine, request) == first
