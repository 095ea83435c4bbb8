from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import RefusedError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import (
    TRANSITIONS,
    JobEvent,
    Memory,
    Trigger,
    advance,
    allows,
    completion,
    render_mermaid,
)

WAITING = [state for state in JobState if state.is_waiting]


def make_job(state: JobState = JobState.RECEIVED, copies: int = 1, copies_done: int = 0) -> Job:
    return Job(
        job_id="j-00000000",
        rev=1,
        state=state,
        name="part.gcode",
        artefact_sha256="a" * 64,
        artefact_format="gcode",
        artefact_size=10,
        copies=copies,
        copies_done=copies_done,
        position=1.0,
        priority=0,
        source="local",
        material=None,
        quality=None,
        reason=None,
        detail="",
        held_from=JobState.READY if state is JobState.HELD else None,
        attempt=1,
        created_ms=1,
        updated_ms=1,
        prepared_sha256="b" * 64,
        profile_digest="p",
        estimate_s=1.0,
        filament_mm=2.0,
        layers=3,
    )


# Written by hand from the words of the design, not from the table: row by row what each state allows.
ALLOWED: dict[JobState, str] = {
    JobState.RECEIVED: "fetch_began check_began slice_began verify_began held cancelled failed rejected expired",
    JobState.FETCHING: "check_began slice_began verify_began held cancelled failed rejected expired",
    JobState.CHECKING: "slice_began verify_began held cancelled failed rejected expired",
    JobState.SLICING: "verify_began held cancelled failed rejected expired",
    JobState.VERIFYING: "verified held cancelled failed rejected expired",
    JobState.READY: "print_started check_began verify_began held cancelled failed rejected expired",
    JobState.PRINTING: "paused completed copy_completed cancelled failed",
    JobState.PAUSED: "resumed completed copy_completed cancelled failed",
    JobState.HELD: "released cancelled rejected expired",
    JobState.COMPLETED: "",
    JobState.FAILED: "retried salvaged",
    JobState.CANCELLED: "retried",
    JobState.REJECTED: "retried",
    JobState.EXPIRED: "",
}


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_pair_of_the_table(state: JobState, trigger: Trigger) -> None:
    copies = 2 if trigger is Trigger.COPY_COMPLETED else 1
    job = make_job(state, copies=copies)
    event = JobEvent(trigger, Reason.USER, "because", "p-1", {"k": 1})
    if trigger.value not in ALLOWED[state].split():
        assert not allows(job, trigger)
        with pytest.raises(RefusedError) as caught:
            advance(job, event, 5)
        assert caught.value.code == "wrong_state"
        assert job.job_id in caught.value.message
        assert state.value in caught.value.message
        return
    advanced = advance(job, event, 5)
    target = TRANSITIONS[state][trigger]
    expected = JobState.READY if isinstance(target, Memory) else target
    assert advanced.job.state is expected
    assert advanced.job.updated_ms == 5
    (record,) = advanced.records
    assert (record.state, record.reason, record.detail) == (expected.value, "user", "because")
    assert (record.job_id, record.rev, record.print_id) == (job.job_id, 1, "p-1")
    assert record.data == {"event": trigger.value, "k": 1}


def test_the_table_names_every_state() -> None:
    assert set(TRANSITIONS) == set(JobState)


@pytest.mark.parametrize("state", WAITING)
def test_a_hold_remembers_where_it_began(state: JobState) -> None:
    held = advance(make_job(state), JobEvent(Trigger.HELD), 2).job
    assert (held.state, held.held_from) == (JobState.HELD, state)
    released = advance(held, JobEvent(Trigger.RELEASED), 3).job
    assert (released.state, released.held_from) == (state, None)


def test_copies_are_counted_and_the_last_one_completes() -> None:
    job = make_job(copies=3)
    for copy in (1, 2, 3):
        job = replace(job, state=JobState.PRINTING)
        assert completion(job) is (Trigger.COMPLETED if copy == 3 else Trigger.COPY_COMPLETED)
        wrong = Trigger.COPY_COMPLETED if copy == 3 else Trigger.COMPLETED
        with pytest.raises(RefusedError):
            advance(job, JobEvent(wrong), 2)
        job = advance(job, JobEvent(completion(job)), 2).job
        assert job.copies_done == copy
    assert job.state is JobState.COMPLETED


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.REJECTED])
def test_a_retry_is_a_fresh_attempt_for_the_missing_copies(state: JobState) -> None:
    job = replace(make_job(state, copies=3, copies_done=1), reason=Reason.PORT_LOST, detail="gone")
    again = advance(job, JobEvent(Trigger.RETRIED), 9).job
    assert (again.state, again.attempt, again.copies_done) == (JobState.RECEIVED, 2, 1)
    assert (again.reason, again.detail, again.prepared_sha256, again.profile_digest) == (None, "", None, None)


@given(st.lists(st.sampled_from(list(Trigger)), max_size=60), st.integers(1, 3))
def test_random_events_keep_the_invariants(triggers: list[Trigger], copies: int) -> None:
    job = replace(make_job(copies=copies), prepared_sha256=None)
    was_verified = False
    for now, trigger in enumerate(triggers, start=2):
        before = job
        if not allows(job, trigger):
            with pytest.raises(RefusedError):
                advance(job, JobEvent(trigger), now)
            continue
        job = advance(job, JobEvent(trigger), now).job
        if trigger is Trigger.VERIFIED:
            job = replace(job, prepared_sha256="b" * 64)  # as the queue does in the same transaction
        was_verified = (was_verified or trigger is Trigger.VERIFIED) and trigger not in (
            Trigger.RETRIED,
            Trigger.VERIFY_BEGAN,
        )
        assert 0 <= job.copies_done <= job.copies
        assert (job.state is JobState.HELD) == (job.held_from is not None)
        assert (job.state is JobState.COMPLETED) == (job.copies_done == job.copies)
        assert before.state not in (JobState.COMPLETED, JobState.EXPIRED)
        assert job.copies_done - before.copies_done in (0, 1)
        assert job.attempt - before.attempt == (1 if trigger in (Trigger.RETRIED, Trigger.SALVAGED) else 0)
        if job.state in (JobState.READY, JobState.PRINTING, JobState.PAUSED, JobState.COMPLETED):
            assert was_verified, "nothing prints unchecked"


def test_what_failed_before_it_was_checked_cannot_be_salvaged() -> None:
    job = make_job(JobState.FAILED)
    assert allows(job, Trigger.SALVAGED)
    assert not allows(replace(job, prepared_sha256=None), Trigger.SALVAGED)


def test_every_state_can_be_reached_and_left_or_is_final() -> None:
    reached = {JobState.RECEIVED} | {
        target for row in TRANSITIONS.values() for target in row.values() if isinstance(target, JobState)
    }
    assert reached == set(JobState)
    assert {state for state, row in TRANSITIONS.items() if not row} == {JobState.COMPLETED, JobState.EXPIRED}


def test_the_diagram_in_the_documents_is_the_table() -> None:
    document = Path(__file__).parents[3] / "docs" / "queue.md"
    diagram = document.read_text("utf-8").split("```mermaid\n", 1)[1].split("```", 1)[0]
    assert diagram == render_mermaid()


def test_every_edge_is_drawn() -> None:
    drawn = render_mermaid()
    for state, row in TRANSITIONS.items():
        for trigger, target in row.items():
            goal = "waiting" if isinstance(target, Memory) else target.value
            sources = [state.value, "waiting"] if state.is_waiting else [state.value]
            assert any(f"{source} --> {goal}: {trigger.value}" in drawn for source in sources), (
                state,
                trigger,
            )


def test_every_reason_is_documented() -> None:
    document = (Path(__file__).parents[3] / "docs" / "queue.md").read_text("utf-8")
    section = document.split("## Reasons")[1].split("\n## ")[0]
    assert set(re.findall(r"`([a-z_]+)`", section)) == {"reason", *(reason.value for reason in Reason)}
