"""The fetch stage: brings the file of an ordered job here, patiently, before anything else is done with it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import structlog

from agent.domain.errors import FabunitError, RefusedError, StorageError
from agent.domain.fetching import FetchError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.policy import queue_key
from agent.jobs.queue import Queue
from agent.jobs.stages.wanted import while_wanted

LOCAL = "local"
"""The source of jobs whose file came with the order: it is never fetched."""

_WORKED_ON = frozenset({JobState.FETCHING})

_log = structlog.get_logger(__name__)


class ArtefactSource(Protocol):
    """What the stage needs from whoever can fetch; event loop only."""

    def has(self, sha256: str) -> bool:
        """Tell whether the artefact is in the store already."""
        ...

    async def fetch(self, job: Job, on_progress: Callable[[int, int], None]) -> None:
        """Have the artefact in the store on return; one attempt, resumable. Raises FabunitError."""
        ...

    async def collect(self, keep: AbstractSet[str]) -> None:
        """Drop unfinished downloads of all other digests."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How a download that fails for now is tried again: the wait doubles up to `most_s`, half of it random.

    Random, because a server that comes back must not meet all its units at once. A job is given up when no
    byte has arrived for `give_up_s` of this daemon's life; the ten hours of a workshop without power at
    night are none of it.
    """

    first_s: float = 5.0
    most_s: float = 600.0
    give_up_s: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """A download under way; sizes in bytes."""

    job_id: str
    done_bytes: int
    size_bytes: int


@dataclass(slots=True)
class _Trial:
    """What is remembered about a job between attempts; a restart begins anew."""

    stuck_since_s: float
    next_s: float
    failures: int = 0
    received_bytes: int = 0
    problem: str = ""


class FetchStage:
    """Fetches one file at a time for all jobs in `fetching`; event loop only.

    `onward` names the event that leads a job with its file to its next state. `make_room` deletes what can be
    deleted when the disk is full.
    """

    def __init__(
        self,
        queue: Queue,
        source: ArtefactSource,
        *,
        onward: Callable[[Job], Trigger] = lambda _: Trigger.VERIFY_BEGAN,
        make_room: Callable[[], Awaitable[None]] | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._queue = queue
        self._source = source
        self._onward = onward
        self._make_room = make_room
        self._patience = patience or Patience()
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._trials: dict[str, _Trial] = {}
        self._kept: frozenset[str] | None = None
        self.progress: FetchProgress | None = None

    def connect(self, onward: Callable[[Job], Trigger], make_room: Callable[[], Awaitable[None]]) -> None:
        """Take what only the pipeline knows: where a job with its file goes on, and what may be deleted."""
        self._onward, self._make_room = onward, make_room

    async def claim(self, job: Job) -> bool:
        """Take a job over whose file has to be fetched first; returns whether it was one.

        For the stage behind: a retried order whose file was deleted meanwhile starts at `received` again.
        """
        if job.source == LOCAL or job.state is not JobState.RECEIVED or self._source.has(job.artefact_sha256):
            return False
        try:
            await self._queue.apply(job.job_id, JobEvent(Trigger.FETCH_BEGAN))
        except RefusedError as refusal:
            _log.info("fetch_dropped", job_id=job.job_id, detail=refusal.message)
        return True

    def problem(self, job_id: str) -> str:
        """Return why the file of a job is not here yet, empty when nothing is known."""
        trial = self._trials.get(job_id)
        return trial.problem if trial else ""

    async def run(self) -> None:
        """Fetch until cancelled; what has arrived by then is taken up at the next start."""
        while True:
            version = self._queue.version
            waiting = await self._waiting()
            job = self._due(waiting)
            if job is None:
                await self._wait(version, waiting)
            else:
                await self._fetch(job)

    async def _waiting(self) -> list[Job]:
        """Return the jobs to fetch for, and forget what belongs to no job any more."""
        jobs = await self._queue.list()
        waiting = [job for job in jobs if job.state is JobState.FETCHING]
        held = [job for job in jobs if job.held_from is JobState.FETCHING]
        ids = {job.job_id for job in waiting}
        self._trials = {job_id: trial for job_id, trial in self._trials.items() if job_id in ids}
        keep = frozenset(job.artefact_sha256 for job in (*waiting, *held))
        if keep != self._kept:
            await self._source.collect(keep)
            self._kept = keep
        return waiting

    def _due(self, waiting: Sequence[Job]) -> Job | None:
        """Return the first job in queue order whose next attempt is due; one that never was tried is."""
        now_s = self._clock()
        due = (job for job in waiting if self._next_s(job) <= now_s)
        return min(due, key=lambda job: (self._next_s(job), queue_key(job)), default=None)

    def _next_s(self, job: Job) -> float:
        trial = self._trials.get(job.job_id)
        return trial.next_s if trial else float("-inf")

    async def _wait(self, version: int, waiting: Sequence[Job]) -> None:
        next_s = min((self._next_s(job) for job in waiting), default=None)
        timeout_s = None if next_s is None else max(0.0, next_s - self._clock())
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.wait_changed(version)
        except TimeoutError:
            return

    async def _fetch(self, job: Job) -> None:
        try:
            verdict = await while_wanted(self._queue, job, _WORKED_ON, self._verdict(job))
            if verdict is not None:
                await self._queue.apply(job.job_id, verdict)
        except RefusedError as refusal:
            _log.info("fetch_dropped", job_id=job.job_id, detail=refusal.message)
        finally:
            self.progress = None

    async def _verdict(self, job: Job) -> JobEvent | None:
        """One attempt: where it leads the job, None for another attempt later."""
        try:
            await self._with_room(job)
        except FetchError as error:
            if error.is_transient:
                return self._later(job, error)
            return _refused(error)
        except FabunitError as error:
            if error.code == "disk_full":
                # The order is not at fault: it waits until somebody made room and releases it.
                return JobEvent(Trigger.HELD, Reason.DISK_FULL, error.told)
            return JobEvent(Trigger.FAILED, Reason.FETCH_FAILED, error.told, data={"code": error.code})
        except Exception as error:  # noqa: BLE001 - the top of one job's download: the unit goes on
            _log.exception("fetch_crashed", job_id=job.job_id)
            return JobEvent(Trigger.FAILED, Reason.FETCH_FAILED, f"{type(error).__name__}: {error}")
        return JobEvent(self._onward(job))

    async def _with_room(self, job: Job) -> None:
        def on_progress(done_bytes: int, size_bytes: int) -> None:
            self.progress = FetchProgress(job.job_id, done_bytes, size_bytes)

        try:
            await self._source.fetch(job, on_progress)
        except StorageError as error:
            if error.code != "disk_full" or self._make_room is None:
                raise
            await self._make_room()
            await self._source.fetch(job, on_progress)

    def _later(self, job: Job, error: FetchError) -> JobEvent | None:
        """Plan the next attempt, or give the job up."""
        now_s = self._clock()
        trial = self._trials.setdefault(job.job_id, _Trial(stuck_since_s=now_s, next_s=now_s))
        if error.received_bytes > trial.received_bytes:
            trial.stuck_since_s, trial.failures = now_s, 0
        trial.received_bytes = max(trial.received_bytes, error.received_bytes)
        if now_s - trial.stuck_since_s >= self._patience.give_up_s:
            return JobEvent(
                Trigger.FAILED,
                Reason.FETCH_FAILED,
                f"given up after {self._patience.give_up_s / 3600:.0f} hours: {error.told}",
                data={"code": error.code},
            )
        # The exponent is bounded because 2.0 ** 1100 is no float any more.
        wait_s = min(self._patience.most_s, self._patience.first_s * 2.0 ** min(trial.failures, 30))
        wait_s = max(wait_s * self._rng.uniform(0.5, 1.0), error.retry_after_s or 0.0)
        trial.failures += 1
        trial.next_s = now_s + wait_s
        trial.problem = error.message
        _log.warning(
            "fetch_failed", job_id=job.job_id, code=error.code, detail=error.message, again_in_s=round(wait_s)
        )
        return None


def _refused(error: FetchError) -> JobEvent:
    reason = Reason.HASH_MISMATCH if error.code == "hash_mismatch" else Reason.FETCH_FAILED
    return JobEvent(Trigger.REJECTED, reason, error.told, data={"code": error.code})
