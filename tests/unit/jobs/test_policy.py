from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import RefusedError, UsageError
from agent.domain.job import Job, JobState
from agent.domain.prints import Bed
from agent.jobs.placement import FIRST, LAST, At, has_place, next_position, placed
from agent.jobs.policy import (
    QueueLimits,
    check_order,
    check_room,
    next_to_prepare,
    next_to_print,
    queue_key,
)


def make(job_id: str, state: JobState = JobState.READY, position: float = 1.0, priority: int = 0) -> Job:
    return Job(
        job_id=job_id,
        rev=1,
        state=state,
        name="x",
        artefact_sha256="a" * 64,
        artefact_format="gcode",
        artefact_size=1,
        copies=1,
        copies_done=0,
        position=position,
        priority=priority,
        source="local",
        material=None,
        quality=None,
        reason=None,
        detail="",
        held_from=JobState.READY if state is JobState.HELD else None,
        attempt=1,
        created_ms=1,
        updated_ms=1,
        profile_digest="p" if state is JobState.READY else None,
    )


def _next(
    jobs: list[Job], bed: Bed = Bed.CLEAR, *, is_auto: bool = True, wish: str | None = None
) -> str | None:
    job = next_to_print(jobs, bed=bed, profile_digest="p", is_auto_start=is_auto, requested=wish)
    return job.job_id if job else None


def test_priority_then_place() -> None:
    jobs = [make("a", position=1), make("b", position=0), make("c", position=9, priority=1)]
    assert _next(jobs) == "c"
    assert _next(jobs[:2]) == "b"


def test_nothing_starts_on_an_occupied_bed_or_beside_a_print() -> None:
    assert _next([make("a")], Bed.OCCUPIED) is None
    for state in (JobState.PRINTING, JobState.PAUSED):
        assert _next([make("a"), make("b", state)]) is None


def test_only_ready_jobs_of_this_profile_start() -> None:
    others = [make(state.value, state) for state in JobState if state is not JobState.READY]
    waiting = [job for job in others if not job.state.is_active]
    assert _next(waiting) is None
    assert _next([replace(make("a"), profile_digest="other")]) is None


def test_without_auto_start_only_the_requested_job_goes() -> None:
    jobs = [make("a", position=1), make("b", position=2)]
    assert _next(jobs, is_auto=False) is None
    assert _next(jobs, is_auto=False, wish="b") == "b"
    assert _next(jobs, wish="b") == "b"
    assert _next(jobs, is_auto=False, wish="gone") is None


def test_who_needs_the_gate() -> None:
    fresh = make("a", JobState.RECEIVED, 3)
    interrupted = make("b", JobState.VERIFYING, 2)
    stale = replace(make("c", position=1), profile_digest="old")
    good = make("d", position=0)
    assert next_to_prepare([fresh, interrupted, stale, good], "p") == stale
    assert next_to_prepare([fresh, interrupted, good], "p") == interrupted
    assert next_to_prepare([fresh, good], "p") == fresh
    assert next_to_prepare([good, make("e", JobState.HELD), make("f", JobState.PRINTING)], "p") is None


def test_limits() -> None:
    limits = QueueLimits(max_jobs=2, max_copies=3)
    check_room(1, limits)
    with pytest.raises(RefusedError) as caught:
        check_room(2, limits)
    assert caught.value.code == "queue_full"
    check_order(3, 100, limits)
    for copies, priority in ((0, 0), (-1, 0), (4, 0), (1, 101), (1, -101)):
        with pytest.raises(UsageError):
            check_order(copies, priority, limits)


def _order(jobs: list[Job]) -> list[str]:
    return [job.job_id for job in sorted(jobs, key=queue_key) if has_place(job)]


def _moved(jobs: list[Job], job_id: str, place: At) -> list[Job]:
    job = next(job for job in jobs if job.job_id == job_id)
    changed = {job.job_id: job for job in placed(jobs, job, place)}
    return [changed.get(job.job_id, job) for job in jobs]


@given(st.data())
def test_moves_do_to_the_queue_what_they_do_to_a_list(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    jobs: list[Job] = []
    for number in range(count):
        priority = data.draw(st.integers(-1, 1))
        jobs.append(make(f"j{number}", position=next_position(float(number)), priority=priority))
    for _ in range(data.draw(st.integers(0, 40))):
        model = _order(jobs)
        moved = data.draw(st.sampled_from(model))
        place = data.draw(
            st.one_of(
                st.integers(FIRST, count + 2).map(lambda to: At(to=to)),
                st.just(At(to=LAST)),
                st.sampled_from(model).map(lambda other: At(before=other)),
            )
        )
        jobs = _moved(jobs, moved, place)
        if place.before == moved:
            assert _order(jobs) == model
            continue
        model.remove(moved)
        if place.before is not None:
            model.insert(model.index(place.before), moved)
        else:
            assert place.to is not None
            model.insert(len(model) if place.to == LAST else place.to - 1, moved)
        assert _order(jobs) == model


def test_a_thousand_moves_into_the_same_gap() -> None:
    jobs = [make(name, position=float(at)) for at, name in enumerate("abcd")]
    for turn in range(1000):
        moved = "cd"[turn % 2]
        jobs = _moved(jobs, moved, At(before="b"))
        order = _order(jobs)
        assert order.index(moved) == order.index("b") - 1
        assert order[0] == "a"


def test_places_that_do_not_exist() -> None:
    jobs = [make("a"), make("b", JobState.HELD, 2), make("c", JobState.PRINTING, 3)]
    for place in (At(), At(to=1, before="b"), At(to=0), At(to=-2), At(before="zz"), At(before="c")):
        with pytest.raises(UsageError):
            placed(jobs, jobs[0], place)
    with pytest.raises(RefusedError) as caught:
        placed(jobs, jobs[2], At(to=1))
    assert caught.value.code == "not_in_queue"
    assert placed([jobs[0]], jobs[0], At(to=1)) == ()
