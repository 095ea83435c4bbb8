"""A mesh on its way to the gate: planned, checked, sliced, and tried again where trying again can help."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import structlog

from agent.domain.errors import FabunitError, RefusedError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.mesh_ledger import MeshLedger
from agent.jobs.queue import Queue
from agent.jobs.stages.check import CheckDesk, CheckPolicy, CheckStage
from agent.jobs.stages.slice import SliceDesk, SliceStage, failure_event
from agent.jobs.stages.workshop import MeshOrder, Plan

RETRIES_S: Mapping[str, tuple[float, ...]] = MappingProxyType({
    # A print beside it, or another program, may give memory and processor back.
    "check_failed": (10.0, 60.0),
    "out_of_memory": (10.0, 60.0, 300.0),
    "timeout": (60.0,),
    # An engine that was shot down by something outside does better the second time; one with a bug does not.
    "engine_crashed": (5.0,),
})  # fmt: skip
"""By code of the failure: how long to wait before each further try. What is not named is final at once."""
_FULL = frozenset({"disk_full"})
_MOST_TRIALS = (
    1000  # as many jobs as a queue usually takes; one that is forgotten is merely tried again earlier
)

_log = structlog.get_logger(__name__)


class Workshop(CheckDesk, SliceDesk, Protocol):
    """What the stage needs of a workshop; see `MeshWorkshop`."""

    def order_of(self, job: Job, path: Path) -> MeshOrder:
        """Return a job's order."""
        ...

    async def plan(self, order: MeshOrder) -> Plan:
        """Decide how to make it. Raises FabunitError with what stands against it."""
        ...

    def bench(self) -> AbstractAsyncContextManager[Path]:
        """Give a private directory."""
        ...


@dataclass(frozen=True, slots=True)
class Preparing:
    """What is being done to a job before it is ready; `fraction` 0 to 1."""

    job_id: str
    state: JobState
    step: str
    fraction: float


@dataclass(slots=True)
class _Trial:
    """What is remembered about a job between tries; a restart begins anew."""

    attempt: int
    failures: int
    next_s: float


class MeshStage:
    """Runs check and slice of one job after the other on one bench; event loop only.

    A job whose step failed for now is left in its state and is not due before its wait is over.
    """

    def __init__(
        self,
        queue: Queue,
        workshop: Workshop,
        policy: CheckPolicy,
        path_of: Callable[[str], Path],
        *,
        make_room: Callable[[], Awaitable[None]] | None = None,
        retries_s: Mapping[str, tuple[float, ...]] = RETRIES_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path_of` gives the place of an artefact by its SHA-256."""
        self._queue = queue
        self._workshop = workshop
        self._ledger = MeshLedger(queue)
        self._check = CheckStage(queue, workshop, policy)
        self._slice = SliceStage(queue, workshop)
        self._path_of = path_of
        self._make_room = make_room
        self._retries_s = retries_s
        self._clock = clock
        self._trials: dict[str, _Trial] = {}
        self.preparing: Preparing | None = None

    def postponed(self) -> frozenset[str]:
        """Return the ids of jobs that are not due yet."""
        now_s = self._clock()
        return frozenset(job_id for job_id, trial in self._trials.items() if trial.next_s > now_s)

    def wait_s(self) -> float | None:
        """Return after how many seconds the next postponed job is due, None when none is."""
        now_s = self._clock()
        return min(
            (trial.next_s - now_s for trial in self._trials.values() if trial.next_s > now_s), default=None
        )

    async def run(self, job: Job) -> None:
        """Take one job as far as it goes. When it is held or cancelled meanwhile, the work ends without a verdict."""
        self.preparing = Preparing(job.job_id, JobState.CHECKING, "", 0.0)
        try:
            await self._with_room(job)
            self._trials.pop(job.job_id, None)
        except FabunitError as error:
            await self._failed(job, error)
        except Exception as error:  # noqa: BLE001 - the top of one job's preparation: the unit goes on
            _log.exception("mesh_crashed", job_id=job.job_id)
            crash = FabunitError(f"{type(error).__name__}: {error}", code="crashed")
            await self._failed(job, crash)
        finally:
            self.preparing = None

    async def _with_room(self, job: Job) -> None:
        try:
            await self._prepare(job)
        except FabunitError as error:
            if error.code not in _FULL or self._make_room is None:
                raise
            await self._make_room()
            await self._prepare(await self._queue.get(job.job_id))

    async def _prepare(self, job: Job) -> None:
        path = self._path_of(job.artefact_sha256)
        if not path.is_file():
            detail = "the file is not on disk any more: add it again"
            await self._apply(job, JobEvent(Trigger.FAILED, Reason.ARTEFACT_LOST, detail))
            return
        plan = await self._workshop.plan(self._workshop.order_of(job, path))
        try:
            async with self._workshop.bench() as bench:
                checked = await self._check.run(
                    job,
                    plan,
                    bench,
                    is_last_try=not self._waits_s(job, "check_failed"),
                    on_progress=lambda step, done: self._show(job, JobState.CHECKING, step, done),
                )
                if checked is not None:
                    await self._slice.run(
                        checked, plan, bench, lambda done: self._show(job, JobState.SLICING, "", done)
                    )
        except RefusedError as refusal:
            if refusal.code != "wrong_state":
                raise
            _log.info("mesh_dropped", job_id=job.job_id, detail=refusal.message)

    def _show(self, job: Job, state: JobState, step: str, fraction: float) -> None:
        self.preparing = Preparing(job.job_id, state, step, fraction)

    def _waits_s(self, job: Job, code: str) -> tuple[float, ...]:
        """Return the waits that are left for this failure."""
        trial = self._trials.get(job.job_id)
        failures = trial.failures if trial is not None and trial.attempt == job.attempt else 0
        return self._retries_s.get(code, ())[failures:]

    async def _failed(self, job: Job, error: FabunitError) -> None:
        """Plan another try, or end the job with the reason."""
        waits_s = self._waits_s(job, error.code)
        event = failure_event(error)
        job = await self._queue.get(job.job_id)
        if not waits_s or not job.state.is_waiting:
            self._trials.pop(job.job_id, None)
            await self._apply(job, event)
            return
        trial = self._trials.get(job.job_id)
        failures = trial.failures + 1 if trial is not None and trial.attempt == job.attempt else 1
        if len(self._trials) >= _MOST_TRIALS:
            self._trials.pop(next(iter(self._trials)))
        self._trials[job.job_id] = _Trial(job.attempt, failures, self._clock() + waits_s[0])
        reason = event.reason or Reason.SLICE_FAILED
        detail = f"{error.message}; tried again in {waits_s[0]:g} s"
        _log.warning("mesh_postponed", job_id=job.job_id, code=error.code, detail=detail)
        await self._ledger.postponed(job, reason, detail, waits_s[0])

    async def _apply(self, job: Job, event: JobEvent) -> None:
        try:
            await self._queue.apply(job.job_id, event)
        except RefusedError as refusal:
            _log.info("mesh_dropped", job_id=job.job_id, detail=refusal.message)
