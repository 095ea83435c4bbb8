"""The queue against a model that a person can check by reading: dictionaries and a list."""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.domain.artefact import Metadata, Prepared
from agent.domain.errors import FabunitError
from agent.domain.events import EventType
from agent.domain.job import JobState, Reason
from agent.domain.prints import Bed, OutcomeState, PrintOutcome
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.orders import OrderOptions
from agent.jobs.placement import LAST, At
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage.artefacts import StoredArtefact
from agent.storage.clock import SystemClock
from agent.storage.database import Database

T = TypeVar("T")

MAX_JOBS = 6
_picks = st.integers(0, 50)
_CHECKED = ("ready", "printing", "paused", "completed")


@dataclass
class ModelJob:
    state: str = "received"
    held_from: str = ""
    copies: int = 1
    made: int = 0
    attempt: int = 1
    is_checked: bool = False

    @property
    def is_over(self) -> bool:
        return self.state in ("completed", "failed", "cancelled", "rejected")


class QueueMachine(RuleBasedStateMachine):
    """Random orders, holds, moves, prints and restarts."""

    @initialize()
    def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._loop = asyncio.new_event_loop()
        self._open()
        self.jobs: dict[str, ModelJob] = {}
        self.order: list[str] = []
        self.bed = "clear"
        self.on_bed: tuple[str, str] | None = None
        self.seq = 0

    def teardown(self) -> None:
        self._do(self._database.close())
        self._loop.close()
        self._folder.cleanup()

    def _open(self) -> None:
        self._database = self._do(Database.open(Path(self._folder.name) / "fabunit.db"))
        limits = QueueLimits(max_jobs=MAX_JOBS, kept_finished=10_000)
        self.queue = Queue(self._database, SystemClock(), limits=limits, rng=random.Random(1))
        self._do(self.queue.open())

    def _do(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(_as_coroutine(work))

    def _attempt(self, work: Awaitable[object], *, is_allowed: bool) -> bool:
        """Do it, and compare whether it was allowed with what the model says."""
        refusal = None
        try:
            self._do(work)
        except FabunitError as error:
            refusal = error
        assert (refusal is None) == is_allowed, refusal.message if refusal else "done although forbidden"
        return is_allowed

    def _pick(self, number: int) -> str:
        ids = sorted(self.jobs)
        return ids[number % len(ids)]

    @property
    def _unfinished(self) -> int:
        return sum(not job.is_over for job in self.jobs.values())

    def _in_state(self, state: str) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.state == state]

    def _waits(self, job_id: str) -> bool:
        job = self.jobs[job_id]
        return not job.is_over and job.state not in ("printing", "paused")

    @rule(copies=st.integers(1, 3), is_held=st.booleans())
    def add(self, copies: int, is_held: bool) -> None:
        has_room = self._unfinished < MAX_JOBS
        data = str(len(self.jobs)).encode()
        artefact = StoredArtefact(hashlib.sha256(data).hexdigest(), len(data), "gcode", "x.gcode")
        known = set(self.jobs)
        options = OrderOptions(copies=copies, is_held=is_held)
        if self._attempt(self.queue.add(artefact, options), is_allowed=has_room):
            (new,) = {job.job_id for job in self._do(self.queue.list())} - known
            self.jobs[new] = ModelJob(copies=copies)
            if is_held:
                self.jobs[new].state, self.jobs[new].held_from = "held", "received"
            self.order.append(new)

    @precondition(lambda self: self.jobs)
    @rule(number=_picks)
    def hold(self, number: int) -> None:
        job_id = self._pick(number)
        job = self.jobs[job_id]
        allowed = self._waits(job_id) and job.state != "held"
        if self._attempt(self.queue.hold(job_id), is_allowed=allowed):
            job.state, job.held_from = "held", job.state

    @precondition(lambda self: self.jobs)
    @rule(number=_picks)
    def release(self, number: int) -> None:
        job_id = self._pick(number)
        job = self.jobs[job_id]
        if self._attempt(self.queue.release(job_id), is_allowed=job.state == "held"):
            job.state, job.held_from = job.held_from, ""

    @precondition(lambda self: self.jobs)
    @rule(number=_picks)
    def cancel(self, number: int) -> None:
        job_id = self._pick(number)
        job = self.jobs[job_id]
        if self._attempt(self.queue.cancel(job_id), is_allowed=not job.is_over) and self._waits(job_id):
            job.state, job.held_from = "cancelled", ""
            self.order.remove(job_id)

    @precondition(lambda self: self.jobs)
    @rule(number=_picks)
    def retry(self, number: int) -> None:
        job_id = self._pick(number)
        job = self.jobs[job_id]
        allowed = job.state in ("failed", "cancelled", "rejected") and self._unfinished < MAX_JOBS
        if self._attempt(self.queue.retry(job_id), is_allowed=allowed):
            job.state, job.is_checked = "received", False
            job.attempt += 1
            self.order = [job.job_id for job in self._do(self.queue.list())]

    @precondition(lambda self: self.jobs)
    @rule(number=_picks, to=st.sampled_from([1, 2, 3, 99, LAST, 0, -5]))
    def move_to(self, number: int, to: int) -> None:
        job_id = self._pick(number)
        is_place = to >= 1 or to == LAST
        others = [other for other in self.order if self._waits(other) and other != job_id]
        allowed = self._waits(job_id) and (is_place or not others)
        if self._attempt(self.queue.move(job_id, At(to=to)), is_allowed=allowed):
            self._put(job_id, len(others) if to == LAST else min(to - 1, len(others)))

    @precondition(lambda self: self.jobs)
    @rule(number=_picks, other=_picks)
    def move_before(self, number: int, other: int) -> None:
        job_id, before = self._pick(number), self._pick(other)
        allowed = self._waits(job_id) and self._waits(before)
        if self._attempt(self.queue.move(job_id, At(before=before)), is_allowed=allowed) and job_id != before:
            others = [at for at in self.order if self._waits(at) and at != job_id]
            self._put(job_id, others.index(before))

    def _put(self, job_id: str, index: int) -> None:
        others = [other for other in self.order if self._waits(other) and other != job_id]
        others.insert(index, job_id)
        self.order = others

    @precondition(lambda self: self.jobs)
    @rule(number=_picks, is_good=st.booleans())
    def verify(self, number: int, is_good: bool) -> None:
        job_id = self._pick(number)
        job = self.jobs[job_id]
        began = self._attempt(
            self.queue.apply(job_id, JobEvent(Trigger.VERIFY_BEGAN)),
            is_allowed=job.state in ("received", "ready"),
        )
        if not began:
            return
        if is_good:
            self._do(self.queue.verified(job_id, self._prepared(job_id)))
            job.state, job.is_checked = "ready", True
        else:
            self._do(self.queue.apply(job_id, JobEvent(Trigger.REJECTED, Reason.GATE_REFUSED)))
            job.state, job.is_checked = "rejected", False
            self.order.remove(job_id)

    @precondition(lambda self: self.jobs)
    @rule(number=_picks)
    def start_print(self, number: int) -> None:
        job_id = self._pick(number)
        job = self.jobs[job_id]
        work = self.queue.start_print(job_id, self._prepared(job_id), "usb:1")
        if self._attempt(work, is_allowed=job.state == "ready" and self.bed == "clear"):
            running = self._do(self.queue.running())
            assert running is not None
            assert running.record.copy == job.made + 1
            self.on_bed = (job_id, running.record.print_id)
            job.state, self.bed = "printing", "occupied"

    @precondition(lambda self: self._in_state("received"))
    @rule()
    def verify_next(self) -> None:
        self.verify(sorted(self.jobs).index(self._in_state("received")[0]), is_good=True)

    @precondition(lambda self: self._in_state("ready") and self.bed == "clear")
    @rule()
    def print_next(self) -> None:
        self.start_print(sorted(self.jobs).index(self._in_state("ready")[0]))

    @precondition(lambda self: self.on_bed)
    @rule()
    def pause_or_resume(self) -> None:
        assert self.on_bed is not None
        job_id, print_id = self.on_bed
        job = self.jobs[job_id]
        job.state = "paused" if job.state == "printing" else "printing"
        trigger = Trigger.PAUSED if job.state == "paused" else Trigger.RESUMED
        self._do(self.queue.record_pause(print_id, JobEvent(trigger)))

    @precondition(lambda self: self.on_bed)
    @rule(state=st.sampled_from(["completed", "failed", "cancelled"]), is_ejected=st.booleans())
    def finish_print(self, state: str, is_ejected: bool) -> None:
        assert self.on_bed is not None
        job_id, print_id = self.on_bed
        job = self.jobs[job_id]
        outcome = PrintOutcome(OutcomeState(state), None, "", 1)
        self._do(self.queue.finish_print(print_id, outcome, is_ejected=is_ejected))
        self.on_bed = None
        job.state = state
        if state == "completed":
            job.made += 1
            job.state = "completed" if job.made == job.copies else "ready"
            self.bed = "clear" if is_ejected else "occupied"
        # A job that comes back from the printer stands where its priority and position put it.
        self.order = [other.job_id for other in self._do(self.queue.list())]

    @invariant()
    @precondition(lambda self: self.on_bed)
    def nothing_touches_a_print(self) -> None:
        assert self.on_bed is not None
        job_id, _ = self.on_bed
        for work in (
            self.queue.clear_bed(),
            self.queue.hold(job_id),
            self.queue.move(job_id, At(to=1)),
            self.queue.retry(job_id),
            self.queue.start_print(job_id, self._prepared(job_id), "usb:1"),
        ):
            self._attempt(work, is_allowed=False)

    @rule()
    def clear_bed(self) -> None:
        if self._attempt(self.queue.clear_bed(), is_allowed=self.on_bed is None):
            self.bed = "clear"

    @rule()
    def restart(self) -> None:
        before = self._do(self.queue.list(include_over=True))
        self._do(self._database.close())
        self._open()
        assert self._do(self.queue.list(include_over=True)) == before

    @invariant()
    def the_queue_is_the_model(self) -> None:
        jobs = {job.job_id: job for job in self._do(self.queue.list(include_over=True))}
        assert set(jobs) == set(self.jobs)
        for job_id, model in self.jobs.items():
            job = jobs[job_id]
            assert (job.state.value, job.copies_done, job.attempt) == (model.state, model.made, model.attempt)
            assert (job.held_from.value if job.held_from else "") == model.held_from
            assert model.is_checked or model.state not in _CHECKED, "nothing prints unchecked"
            assert (job.prepared_sha256 is not None) or job.state is not JobState.READY
        waiting = [job.job_id for job in self._do(self.queue.list()) if self._waits(job.job_id)]
        assert waiting == [job_id for job_id in self.order if self._waits(job_id)]
        assert self._do(self.queue.bed()) is Bed(self.bed)
        running = self._do(self.queue.running())
        assert (running.job.job_id if running else None) == (self.on_bed[0] if self.on_bed else None)

    @invariant()
    def events_are_gapless_and_tell_the_states(self) -> None:
        events = self._do(self.queue.events_after(self.seq))
        assert [event.seq for event in events] == list(range(self.seq + 1, self.seq + 1 + len(events)))
        self.seq += len(events)
        told = {event.job_id: event.state for event in events if event.type is EventType.JOB}
        for job_id, state in told.items():
            assert job_id is not None
            assert self.jobs[job_id].state == state

    def _prepared(self, job_id: str) -> Prepared:
        digest = hashlib.sha256(job_id.encode()).hexdigest()
        return Prepared("a" * 64, "p", 1, digest, 1, 5, 1000, (0,), (0.0,), (), Metadata(), ())


async def _as_coroutine(work: Awaitable[T]) -> T:
    return await work


TestQueueModel = QueueMachine.TestCase
# Hypothesis takes up to five minutes to find the shortest way to a failure; it is worth the wait.
TestQueueModel.pytestmark = pytest.mark.timeout(400)  # type: ignore[attr-defined]
TestQueueModel.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
