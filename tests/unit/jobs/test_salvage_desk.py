"""A print whose board was reset: what is kept, who may have it go on, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.domain.artefact import Layer, Prepared
from agent.domain.errors import NotFoundError, RefusedError, UsageError
from agent.domain.job import Job, JobState, Reason
from agent.domain.prints import Bed, OutcomeState, PrintOutcome, PrintRecord, PrintState, SalvagePlan
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.queue import Queue
from agent.jobs.salvage_desk import demand_part, plan_for, proposal_for
from agent.storage.artefacts import StoredArtefact
from tests.unit.jobs.pipeline_bench import PROFILE

Stored = Callable[[str], StoredArtefact]
FOUND: dict[str, Any] = {
    "possible": True, "certain": True, "line": 480, "start_line": 441, "layer": 3, "layers": 4, "height_mm": 0.6,
    "candidates": [{"layer": 3, "height_mm": 0.6}], "cautions": [], "obstacle": "",
}  # fmt: skip
LAYERS = (Layer(1, 0.2), Layer(200, 0.4), Layer(400, 0.6), Layer(600, 0.8))


async def failed(
    queue: Queue, stored: Stored, prepared: Callable[..., Prepared], salvage: dict[str, Any] | None
) -> tuple[Job, PrintRecord, Prepared]:
    """A job that ended as a reset ends it."""
    artefact = stored("G28\n")
    job = await queue.add(artefact)
    await queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
    made = prepared(artefact.sha256)
    await queue.verified(job.job_id, made)
    record = await queue.start_print(job.job_id, made, "usb-1")
    outcome = PrintOutcome(OutcomeState.FAILED, Reason.PRINTER_RESET, "reset", 480, salvage=salvage)
    return await queue.finish_print(record.print_id, outcome), record, made


async def test_the_next_attempt_begins_in_the_middle_and_says_so(
    queue: Queue, stored: Stored, prepared: Callable[..., Prepared]
) -> None:
    job, record, made = await failed(queue, stored, prepared, FOUND)
    found_job, found_print, proposal = await proposal_for(queue, job.job_id)
    assert (found_job.job_id, found_print.print_id, proposal) == (job.job_id, record.print_id, FOUND)
    await demand_part(queue, found_job, found_print, PROFILE)
    plan = plan_for(found_job, found_print, proposal, LAYERS, None)
    assert plan == SalvagePlan(record.print_id, 440, 0.6)
    again = await queue.start_salvage(
        job.job_id, made, plan, checkpoint='{"stage":"salvaging"}', port_id="usb-1"
    )
    assert again.pause_snapshot == '{"stage":"salvaging"}', "on disk before anything is sent"
    assert again.state is PrintState.PRINTING
    assert again.base != 0
    now = await queue.get(job.job_id)
    assert (now.state, now.attempt) == (JobState.PRINTING, 2)
    assert await queue.bed() is Bed.OCCUPIED
    await queue.finish_print(again.print_id, PrintOutcome(OutcomeState.COMPLETED, None, "", 1))
    receipt = json.loads((await queue.get_print(again.print_id)).receipt or "")
    assert receipt["salvaged"] == {"from_line": 440, "of_print": record.print_id}
    with pytest.raises(NotFoundError):
        await proposal_for(queue, job.job_id)


async def test_a_part_that_is_gone_or_a_head_that_moved_is_refused(
    queue: Queue, stored: Stored, prepared: Callable[..., Prepared]
) -> None:
    job, record, made = await failed(queue, stored, prepared, FOUND)
    with pytest.raises(RefusedError) as caught:
        await demand_part(queue, job, record, "another profile")
    assert caught.value.code == "profile_changed"
    await queue.note_moved()
    with pytest.raises(RefusedError) as caught:
        await demand_part(queue, job, record, PROFILE)
    assert caught.value.code == "head_moved"
    await queue.clear_bed()
    for attempt in (
        lambda: demand_part(queue, job, record, PROFILE),
        lambda: queue.start_salvage(
            job.job_id, made, SalvagePlan(record.print_id, 440, 0.6), checkpoint="{}", port_id="usb-1"
        ),
    ):
        with pytest.raises(RefusedError) as caught:
            await attempt()
        assert caught.value.code == "part_gone"
    assert (await queue.get(job.job_id)).state is JobState.FAILED


async def test_moving_the_machine_during_a_print_says_nothing_about_its_end(
    queue: Queue, stored: Stored, prepared: Callable[..., Prepared]
) -> None:
    artefact = stored("G28\n")
    job = await queue.add(artefact)
    await queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
    made = prepared(artefact.sha256)
    await queue.verified(job.job_id, made)
    record = await queue.start_print(job.job_id, made, "usb-1")
    await queue.note_moved()
    assert not await queue.is_moved(record.print_id)


@pytest.mark.parametrize("salvage", [None, {**FOUND, "possible": False, "obstacle": "no layers"}])
async def test_without_a_possible_proposal_there_is_no_plan(
    queue: Queue, stored: Stored, prepared: Callable[..., Prepared], salvage: dict[str, Any] | None
) -> None:
    job, record, _ = await failed(queue, stored, prepared, salvage)
    if salvage is None:
        with pytest.raises(NotFoundError):
            await proposal_for(queue, job.job_id)
        return
    with pytest.raises(RefusedError, match="no layers"):
        plan_for(job, record, salvage, LAYERS, 2)


async def test_a_person_names_the_layer_where_it_is_not_certain(
    queue: Queue, stored: Stored, prepared: Callable[..., Prepared]
) -> None:
    doubtful = {
        **FOUND,
        "certain": False,
        "candidates": [{"layer": 2, "height_mm": 0.4}, *FOUND["candidates"]],
    }
    job, record, _ = await failed(queue, stored, prepared, doubtful)
    with pytest.raises(RefusedError, match=r"2 \(0\.4 mm\), 3 \(0\.6 mm\)") as caught:
        plan_for(job, record, doubtful, LAYERS, None)
    assert caught.value.code == "salvage_uncertain"
    assert plan_for(job, record, doubtful, LAYERS, 3) == SalvagePlan(record.print_id, 440, 0.6)
    assert plan_for(job, record, doubtful, LAYERS, 2) == SalvagePlan(record.print_id, 199, 0.4)
    for layer in (0, 5):
        with pytest.raises(UsageError):
            plan_for(job, record, doubtful, LAYERS, layer)
