"""The job machine: which states a job can be in and what may happen to it in each. Pure.

The rules
---------
1. Everything that decides about a job's state is in this file. A job is a value; `advance` is the only way to
   a new state, and what it does not allow is refused with RefusedError `wrong_state`, whoever asks.
2. A job moves forward through `received → fetching → checking → slicing → verifying → ready → printing`. A
   state that does not apply is skipped: a local G-code job goes from `received` straight to `verifying`.
   `verifying` is never skipped: `ready` is entered only from there, after a finished copy, or out of a hold
   that began in `ready`.
3. `ready` is a promise under one profile. When the profile changes, the job goes back to `verifying`, a mesh to
   `checking`: what is sliced for one printer is not printed on another.
4. A job with n copies comes back to `ready` after each copy until the last one, which completes it. Every
   copy needs its own cleared bed, because every copy is started like a first one. Copies that were made stay
   made: a retry prints only those that are missing.
5. A hold can begin in any waiting state and remembers it. A release returns there, and the work of that state
   is done again from its start; the stages are idempotent. Nothing but a release, a cancellation, a rejection
   or an expiry happens to a held job: the result of a check that was under way when the hold came is thrown
   away.
6. A printing job cannot be held or rejected, and does not expire: there is plastic on the bed. It is paused,
   or it ends.
7. A job ends as `completed`, `failed` (the unit's or the printer's fault), `rejected` (the file's fault),
   `cancelled` (somebody's wish) or `expired` (too late). All but `completed` and `expired` can be retried:
   the job starts over at `received` as the next attempt, and all checks are made again. An expired job is
   not: its time was set by the one who ordered it, and the order has to be renewed there.

8. A failed job whose board was reset can be salvaged: a person who has looked at the part lets the next attempt
   begin in the middle. That is the one way to `printing` that does not pass `ready`: the file is the one that
   was checked, and the bed is occupied by the very part.

The odd cases
-------------
A pause and the end of a print can cross: the printer finishes while a person presses pause. So a print may
end from `paused` as well as from `printing`. A daemon that stops or is killed is no event here at all:
`printing` stays `printing` on disk, and the next daemon takes the print over or reports its failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

from agent.domain.errors import RefusedError
from agent.domain.events import EventDraft, EventType
from agent.domain.job import Job, JobState, Reason


class Trigger(StrEnum):
    """What can happen to a job."""

    FETCH_BEGAN = "fetch_began"
    CHECK_BEGAN = "check_began"
    SLICE_BEGAN = "slice_began"
    VERIFY_BEGAN = "verify_began"
    VERIFIED = "verified"
    PRINT_STARTED = "print_started"
    PAUSED = "paused"
    RESUMED = "resumed"
    COPY_COMPLETED = "copy_completed"
    COMPLETED = "completed"
    HELD = "held"
    RELEASED = "released"
    CANCELLED = "cancelled"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RETRIED = "retried"
    SALVAGED = "salvaged"


class Memory(Enum):
    """A target that the job itself knows."""

    HELD_FROM = "where the hold began"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job: what, why in machine-readable form, and why for a person."""

    trigger: Trigger
    reason: Reason | None = None
    detail: str = ""
    print_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Advanced:
    """The job after an event, and the records to be written in the same transaction."""

    job: Job
    records: tuple[EventDraft, ...]


# Details quote what files and printers said; a row must not grow with it.
MAX_DETAIL_CHARS = 500

Target = JobState | Memory
_S, _T = JobState, Trigger

_FROM_WAITING: dict[Trigger, Target] = {
    _T.HELD: _S.HELD,
    _T.CANCELLED: _S.CANCELLED,
    _T.FAILED: _S.FAILED,
    _T.REJECTED: _S.REJECTED,
    _T.EXPIRED: _S.EXPIRED,
}
_END_OF_PRINT: dict[Trigger, Target] = {
    _T.COPY_COMPLETED: _S.READY,
    _T.COMPLETED: _S.COMPLETED,
    _T.CANCELLED: _S.CANCELLED,
    _T.FAILED: _S.FAILED,
}
_AGAIN: dict[Trigger, Target] = {_T.RETRIED: _S.RECEIVED}

TRANSITIONS: Mapping[JobState, Mapping[Trigger, Target]] = MappingProxyType(
    {
        _S.RECEIVED: {
            _T.FETCH_BEGAN: _S.FETCHING,
            _T.CHECK_BEGAN: _S.CHECKING,
            _T.SLICE_BEGAN: _S.SLICING,
            _T.VERIFY_BEGAN: _S.VERIFYING,
            **_FROM_WAITING,
        },
        _S.FETCHING: {
            _T.CHECK_BEGAN: _S.CHECKING,
            _T.SLICE_BEGAN: _S.SLICING,
            _T.VERIFY_BEGAN: _S.VERIFYING,
            **_FROM_WAITING,
        },
        _S.CHECKING: {_T.SLICE_BEGAN: _S.SLICING, _T.VERIFY_BEGAN: _S.VERIFYING, **_FROM_WAITING},
        _S.SLICING: {_T.VERIFY_BEGAN: _S.VERIFYING, **_FROM_WAITING},
        _S.VERIFYING: {_T.VERIFIED: _S.READY, **_FROM_WAITING},
        _S.READY: {
            _T.PRINT_STARTED: _S.PRINTING,
            _T.CHECK_BEGAN: _S.CHECKING,
            _T.VERIFY_BEGAN: _S.VERIFYING,
            **_FROM_WAITING,
        },
        _S.PRINTING: {_T.PAUSED: _S.PAUSED, **_END_OF_PRINT},
        _S.PAUSED: {_T.RESUMED: _S.PRINTING, **_END_OF_PRINT},
        _S.HELD: {
            _T.RELEASED: Memory.HELD_FROM,
            _T.CANCELLED: _S.CANCELLED,
            _T.REJECTED: _S.REJECTED,
            _T.EXPIRED: _S.EXPIRED,
        },
        _S.COMPLETED: {},
        _S.FAILED: {**_AGAIN, _T.SALVAGED: _S.PRINTING},
        _S.CANCELLED: _AGAIN,
        _S.REJECTED: _AGAIN,
        _S.EXPIRED: {},
    }
)

_REMEDIES: Mapping[Trigger, str] = MappingProxyType(
    {
        _T.HELD: "a printing job can be paused; a finished one needs no hold",
        _T.RELEASED: "only a held job can be released",
        _T.CANCELLED: "a finished job stays as it ended",
        _T.RETRIED: "failed, cancelled and rejected jobs can be retried; else add the file again",
        _T.PRINT_STARTED: "wait until the job is ready",
        _T.SALVAGED: "only a print that failed because its board was reset can go on",
    }
)


def advance(job: Job, event: JobEvent, now_ms: int) -> Advanced:
    """Apply one event. `now_ms` is Unix milliseconds.

    Raises RefusedError `wrong_state` when the table does not allow the event in the job's state, or when a
    copy is reported complete that the job does not have.
    """
    target = _target(job, event.trigger)
    detail = event.detail[:MAX_DETAIL_CHARS]
    moved = replace(
        job,
        state=target,
        reason=event.reason,
        detail=detail,
        held_from=job.state if target is JobState.HELD else None,
        updated_ms=now_ms,
    )
    moved = _with_consequences(moved, event.trigger)
    record = EventDraft(
        type=EventType.JOB,
        job_id=moved.job_id,
        rev=moved.rev,
        print_id=event.print_id,
        state=moved.state.value,
        reason=event.reason,
        detail=detail,
        data={"event": event.trigger.value, **event.data},
    )
    return Advanced(moved, (record,))


def allows(job: Job, trigger: Trigger) -> bool:
    """Tell whether `advance` would accept this trigger now."""
    if trigger is Trigger.COPY_COMPLETED and job.copies_done + 1 >= job.copies:
        return False
    if trigger is Trigger.COMPLETED and job.copies_done + 1 != job.copies:
        return False
    if trigger is Trigger.SALVAGED and job.prepared_sha256 is None:
        return False  # it failed before it was checked
    return trigger in TRANSITIONS[job.state]


def completion(job: Job) -> Trigger:
    """Return what the end of a good print means for this job: one copy more, or the last one."""
    return Trigger.COMPLETED if job.copies_done + 1 >= job.copies else Trigger.COPY_COMPLETED


def render_mermaid() -> str:
    """Draw the table as a mermaid state diagram; what all waiting states share is drawn once."""
    waiting = [state for state in JobState if state.is_waiting]
    shared = {
        (trigger, target)
        for trigger, target in TRANSITIONS[waiting[0]].items()
        if all(TRANSITIONS[state].get(trigger) is target for state in waiting)
    }
    inner: list[str] = []
    outer: list[str] = []
    for state, row in TRANSITIONS.items():
        for trigger, target in row.items():
            if state.is_waiting and (trigger, target) in shared:
                continue
            goal = "waiting" if isinstance(target, Memory) else target.value
            is_inside = state.is_waiting and isinstance(target, JobState) and target.is_waiting
            (inner if is_inside else outer).append(f"{state.value} --> {goal}: {trigger.value}")
    group = [
        f"waiting --> {target.value}: {trigger.value}"
        for trigger, target in TRANSITIONS[waiting[0]].items()
        if (trigger, target) in shared and isinstance(target, JobState)
    ]
    lines = ["stateDiagram-v2", "    [*] --> received", "    state waiting {"]
    lines += [f"        {line}" for line in inner]
    lines += ["    }", *(f"    {line}" for line in (*group, *outer))]
    return "\n".join(lines) + "\n"


def _target(job: Job, trigger: Trigger) -> JobState:
    if not allows(job, trigger):
        raise RefusedError(
            f"job {job.job_id} is {job.state.value}: it cannot be {_spoken(trigger)}",
            code="wrong_state",
            remedy=_REMEDIES.get(trigger, ""),
        )
    target = TRANSITIONS[job.state][trigger]
    if isinstance(target, JobState):
        return target
    return job.held_from or JobState.RECEIVED


def _with_consequences(job: Job, trigger: Trigger) -> Job:
    if trigger in (Trigger.COPY_COMPLETED, Trigger.COMPLETED):
        return replace(job, copies_done=job.copies_done + 1)
    if trigger in (Trigger.RETRIED, Trigger.SALVAGED):
        job = replace(job, attempt=job.attempt + 1)
    if trigger in (Trigger.RETRIED, Trigger.CHECK_BEGAN, Trigger.VERIFY_BEGAN):
        return replace(
            job, prepared_sha256=None, profile_digest=None, estimate_s=None, filament_mm=None, layers=None
        )
    return job


def _spoken(trigger: Trigger) -> str:
    return {
        Trigger.PRINT_STARTED: "printed",
        Trigger.VERIFY_BEGAN: "verified",
        Trigger.COPY_COMPLETED: "completed by one copy",
    }.get(trigger, trigger.value.replace("_", " "))
