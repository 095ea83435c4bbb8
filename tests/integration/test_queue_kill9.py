"""A daemon that changes its queue at full speed is killed again and again; what it acknowledged must be there, once.

Run as a script this file is that daemon: `test_queue_kill9.py STATE_DIR SEED`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from agent.domain.artefact import Metadata, Prepared
from agent.domain.errors import RefusedError
from agent.domain.events import Event, EventType
from agent.domain.job import Job, JobState, Reason
from agent.domain.prints import Bed, OutcomeState, PrintOutcome
from agent.jobs.machine import JobEvent, Trigger, completion
from agent.jobs.orders import OrderOptions
from agent.jobs.placement import LAST, At
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore
from agent.storage.clock import SystemClock
from agent.storage.database import Connection, Database
from agent.storage.lock import StateLock

KILLS = 30
SEED = 20_261_101
LIMITS = QueueLimits(max_jobs=40, kept_finished=100_000)
# An entry of the story: what happened, and to which job ("" for the bed).
Entry = tuple[str, str]


class Daemon:
    """Does random work on the queue and says on stdout what is done."""

    def __init__(self, queue: Queue, store: ArtefactStore, rng: random.Random) -> None:
        self._queue = queue
        self._store = store
        self._rng = rng

    async def run(self) -> None:
        works = (self._add, self._hold, self._release, self._cancel, self._move, self._retry, self._verify)
        while True:
            try:
                await self._rng.choice((*works, self._print, self._print))()
            except RefusedError:
                continue

    async def _add(self) -> None:
        content = f"G28 ; {self._rng.random()}\n".encode() * 50

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        is_held = self._rng.random() < 0.3
        options = OrderOptions(
            copies=self._rng.randint(1, 3), is_held=is_held, priority=self._rng.randint(-1, 1)
        )
        await self._queue.check_order(options)
        job = await self._queue.add(await self._store.add(chunks(), "x.gcode"), options)
        self._say(*((name, job.job_id) for name in (("received", "held") if is_held else ("received",))))

    async def _hold(self) -> None:
        job = await self._any()
        await self._queue.hold(job.job_id)
        self._say(("held", job.job_id))

    async def _release(self) -> None:
        job = await self._any(JobState.HELD)
        await self._queue.release(job.job_id)
        self._say(("released", job.job_id))

    async def _cancel(self) -> None:
        job = await self._any()
        if self._rng.random() < 0.5 and not job.state.is_active:
            await self._queue.cancel(job.job_id)
            self._say(("cancelled", job.job_id))

    async def _move(self) -> None:
        job, other = await self._any(), await self._any()
        place = self._rng.choice(
            (At(to=1), At(to=LAST), At(to=self._rng.randint(1, 9)), At(before=other.job_id))
        )
        await self._queue.move(job.job_id, place)
        self._say(("moved", job.job_id))

    async def _retry(self) -> None:
        over = [job for job in await self._queue.list(include_over=True) if job.state is JobState.CANCELLED]
        if over:
            job = await self._queue.retry(self._rng.choice(over).job_id)
            self._say(("retried", job.job_id))

    async def _verify(self) -> None:
        job = await self._any(JobState.RECEIVED)
        await self._queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
        self._say(("verify_began", job.job_id))
        await self._queue.verified(job.job_id, _prepared(job))
        self._say(("verified", job.job_id))

    async def _print(self) -> None:
        if await self._queue.bed() is Bed.OCCUPIED and await self._queue.running() is None:
            await self._queue.clear_bed()
            self._say(("clear", ""))
        job = await self._any(JobState.READY)
        record = await self._queue.start_print(job.job_id, _prepared(job), "usb:1")
        self._say(("print_started", job.job_id))
        if self._rng.random() < 0.3:
            await self._queue.record_pause(record.print_id, JobEvent(Trigger.PAUSED, Reason.USER))
            self._say(("paused", job.job_id))
        await self.end(job, record.print_id)

    async def end(self, job: Job, print_id: str) -> None:
        state = self._rng.choice((OutcomeState.COMPLETED, OutcomeState.COMPLETED, OutcomeState.FAILED))
        reason = None if state is OutcomeState.COMPLETED else Reason.PRINTER_RESET
        event = completion(job).value if state is OutcomeState.COMPLETED else "failed"
        await self._queue.finish_print(print_id, PrintOutcome(state, reason, "", 1))
        self._say((event, job.job_id))

    async def _any(self, state: JobState | None = None) -> Job:
        jobs = [job for job in await self._queue.list() if state is None or job.state is state]
        if not jobs:
            raise RefusedError("nothing to work on")
        return self._rng.choice(jobs)

    def _say(self, *entries: Entry) -> None:
        os.write(1, (json.dumps(entries) + "\n").encode())


async def _daemon(state: Path, seed: int) -> None:
    lock = StateLock.acquire(state)
    database = await Database.open(state / "fabunit.db")
    store = ArtefactStore(state, 1_000_000, min_free_bytes=0)
    await store.open()
    queue = Queue(database, SystemClock(), limits=LIMITS)
    daemon = Daemon(queue, store, random.Random(seed))
    left = await queue.running()
    if left is not None:
        await daemon.end(left.job, left.record.print_id)
    await daemon.run()
    lock.release()


def _prepared(job: Job) -> Prepared:
    digest = hashlib.sha256(job.job_id.encode()).hexdigest()
    return Prepared(job.artefact_sha256, "profile", 1, digest, 1, 5, 1000, (0,), (0.0,), (), Metadata(), ())


def _life(state: Path, rng: random.Random) -> list[list[Entry]]:
    """Run a daemon up to a random instant and return what it acknowledged."""
    command = [sys.executable, __file__, str(state), str(rng.randrange(1 << 30))]
    acknowledged: list[list[Entry]] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        acknowledged.extend(map(_entries_of, itertools.islice(child.stdout, rng.randint(1, 25))))
        time.sleep(rng.uniform(0, 0.012))  # the instant of death falls anywhere between two acknowledgements
        child.send_signal(signal.SIGKILL)
        acknowledged.extend(_entries_of(line) for line in child.stdout if line.endswith(b"\n"))
        errors = child.stderr.read().decode()
    assert child.returncode == -signal.SIGKILL, errors
    return acknowledged


def _entries_of(line: bytes) -> list[Entry]:
    return [(name, job_id) for name, job_id in json.loads(line)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def _entries(events: Sequence[Event]) -> list[Entry]:
    story: list[Entry] = []
    for event in events:
        if event.type is EventType.JOB:
            story.append((event.data["event"], event.job_id or ""))
        elif event.type is EventType.BED and event.state == "clear":
            story.append(("clear", ""))
    return story


class Inspection:
    """Looks at a state directory as the next daemon finds it."""

    def __init__(self, database: Database, store: ArtefactStore) -> None:
        self._database = database
        self._store = store
        self._queue = Queue(database, SystemClock(), limits=LIMITS)

    async def story(self) -> list[Entry]:
        return _entries(await self._queue.events_after(0, limit=1_000_000))

    async def check(self, story: list[Entry]) -> None:
        assert self._database.moved_aside is None
        assert await self._database.read(_integrity) == ["ok"]
        jobs = {job.job_id: job for job in await self._queue.list(include_over=True)}
        assert Counter(name for name, _ in story)["received"] == len(jobs)
        assert {job_id for name, job_id in story if name == "received"} == set(jobs)
        await self._check_states(jobs)
        await self._check_prints(jobs, story)
        for job in jobs.values():
            content = self._store.path(job.artefact_sha256).read_bytes()
            assert hashlib.sha256(content).hexdigest() == job.artefact_sha256

    async def _check_states(self, jobs: dict[str, Job]) -> None:
        last: dict[str, Event] = {}
        for event in await self._queue.events_after(0, limit=1_000_000):
            if event.type is EventType.JOB and event.job_id:
                last[event.job_id] = event
        for job in jobs.values():
            assert job.state.value == last[job.job_id].state
            assert (job.state is JobState.HELD) == (job.held_from is not None)

    async def _check_prints(self, jobs: dict[str, Job], story: list[Entry]) -> None:
        prints = await self._queue.prints(limit=1_000_000)
        counts = Counter(story)
        assert len(prints) == sum(counts["print_started", job_id] for job_id in jobs)
        for job in jobs.values():
            made = counts["copy_completed", job.job_id] + counts["completed", job.job_id]
            copies = sorted(
                print_.copy
                for print_ in prints
                if print_.job_id == job.job_id and print_.state == "completed"
            )
            assert copies == list(range(1, made + 1)), "every copy once"
            assert job.copies_done == made
        active = [job for job in jobs.values() if job.state.is_active]
        running = await self._queue.running()
        assert [job.job_id for job in active] == ([running.record.job_id] if running else [])
        latch = [name for name, _ in story if name in ("print_started", "clear")]
        assert await self._queue.bed() is (
            Bed.OCCUPIED if latch and latch[-1] == "print_started" else Bed.CLEAR
        )


def _integrity(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("PRAGMA integrity_check")]


async def _inspect(state: Path, known: list[Entry], acknowledged: list[list[Entry]]) -> list[Entry]:
    database = await Database.open(state / "fabunit.db")
    store = ArtefactStore(state, 1_000_000, min_free_bytes=0)
    await store.open()
    try:
        assert not list((state / "artefacts").glob("*.part"))
        inspection = Inspection(database, store)
        story = await inspection.story()
        told = known + [entry for entries in acknowledged for entry in entries]
        assert story[: len(told)] == told, "every acknowledged operation, once, in order"
        # At most the one operation that was committed while its acknowledgement died with the process.
        extra = story[len(told) :]
        assert len(extra) <= 1 or [name for name, _ in extra] == ["received", "held"]
        await inspection.check(story)
        return story
    finally:
        await store.close()
        await database.close()


def test_thirty_kills(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    story: list[Entry] = []
    for _ in range(KILLS):
        acknowledged = _life(tmp_path, rng)
        assert acknowledged
        story = asyncio.run(_inspect(tmp_path, story, acknowledged))
    names = Counter(name for name, _ in story)
    assert set(names) >= {"received", "held", "moved", "cancelled", "print_started", "completed", "clear"}


if __name__ == "__main__":
    asyncio.run(_daemon(Path(sys.argv[1]), int(sys.argv[2])))
