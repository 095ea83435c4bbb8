"""Where a moved job goes: new priorities and positions. Pure.

A move is a person's explicit wish and is stronger than priority: the moved job takes the priority of the
neighbour it is put next to, so that it really stands where it was put. Only waiting and held jobs have a
place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.domain.errors import RefusedError, UsageError
from agent.domain.job import Job, JobState
from agent.jobs.policy import queue_key

# Halving a gap of 1 reaches this after 20 moves into the same gap; then all places are numbered anew.
MIN_GAP = 1e-6
FIRST = 1
LAST = -1


class Place(Protocol):
    """Directly before job `before`, or at place `to`: 1 is next to print, LAST (or beyond) the end."""

    @property
    def before(self) -> str | None:
        """Return the id of the job to stand in front of."""
        ...

    @property
    def to(self) -> int | None:
        """Return the place to take."""
        ...


@dataclass(frozen=True, slots=True)
class At:
    """A place given by number or by the job behind it; exactly one of the two."""

    to: int | None = None
    before: str | None = None


def has_place(job: Job) -> bool:
    """Tell whether the job stands in the queue: waiting or held."""
    return job.state.is_waiting or job.state is JobState.HELD


def next_position(last: float) -> float:
    """Return the position of a job that is added behind the one at `last`."""
    return last + 1.0


def placed(jobs: Sequence[Job], moved: Job, place: Place) -> tuple[Job, ...]:
    """Return the jobs that change when `moved` goes to `place`; all of them when places are numbered anew.

    `jobs` are the unfinished jobs including `moved`. `place.before` is a full id.
    Raises RefusedError `not_in_queue` when a job has no place, UsageError `bad_place` for a place that cannot
    be.
    """
    demand_place(moved)
    others = sorted((job for job in jobs if has_place(job) and job.job_id != moved.job_id), key=queue_key)
    if not others or place.before == moved.job_id:
        return ()
    return _at(others, _index(others, place), moved)


def demand_place(job: Job) -> None:
    """Raise RefusedError `not_in_queue` for a job that is on the printer or over."""
    if not has_place(job):
        raise RefusedError(
            f"job {job.job_id} is {job.state.value}: it has no place in the queue",
            code="not_in_queue",
            remedy="only waiting and held jobs can be moved",
        )


def _index(others: Sequence[Job], place: Place) -> int:
    if (place.before is None) == (place.to is None):
        raise UsageError("a move needs either a job to stand before or a place", code="bad_place")
    if place.to == LAST:
        return len(others)
    if place.to is not None:
        if place.to < FIRST:
            raise UsageError(f"place {place.to} does not exist; the first place is {FIRST}", code="bad_place")
        return min(place.to - FIRST, len(others))
    for index, job in enumerate(others):
        if job.job_id == place.before:
            return index
    raise UsageError(f"job {place.before} is not in the queue", code="bad_place")


def _at(others: Sequence[Job], index: int, moved: Job) -> tuple[Job, ...]:
    after = others[index - 1] if index > 0 else None
    before = others[index] if index < len(others) else None
    priority = (before or others[-1]).priority
    # Only a neighbour of the same priority bounds the position; across priorities any position is right.
    low = after.position if after is not None and after.priority == priority else None
    high = before.position if before is not None else None
    if low is not None and high is not None and high - low < MIN_GAP:
        return _renumbered([*others[:index], replace(moved, priority=priority), *others[index:]])
    if low is None:
        position = (high if high is not None else FIRST) - 1.0
    else:
        position = low + 1.0 if high is None else (low + high) / 2
    return (replace(moved, priority=priority, position=position),)


def _renumbered(order: Sequence[Job]) -> tuple[Job, ...]:
    return tuple(replace(job, position=float(number)) for number, job in enumerate(order, start=FIRST))
