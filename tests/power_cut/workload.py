"""A unit's storage at work, to be watched: prints `ack SEQ` when everything up to event SEQ was reported as done.

Run as a program: `python -m tests.power_cut.workload STATE_DIR ROUNDS`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from agent.domain.events import EventDraft, EventType
from agent.jobs.orders import OrderOptions
from agent.jobs.placement import At
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore
from agent.storage.backup import back_up
from agent.storage.clock import SystemClock
from agent.storage.database import Database

# A checkpoint every few transactions: its writes into the main file are what a power cut has to meet.
CHECKPOINT_PAGES = 16


async def work(state_dir: Path, rounds: int) -> None:
    """Take jobs through their lives, as the daemon does: the same classes, the same files."""
    database = await Database.open(state_dir / "fabunit.db")
    await database.read(
        lambda connection: connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}").close()
    )
    store = ArtefactStore(state_dir, 1 << 20, min_free_bytes=0)
    await store.open()
    queue = Queue(database, SystemClock())
    await queue.open()
    for number in range(rounds):
        artefact = await store.add(_chunks(number), f"part{number}.gcode")
        job = await queue.add(artefact, OrderOptions(is_held=number % 3 == 0))
        await _acknowledge(queue)
        if number % 3 == 0:
            await queue.release(job.job_id)
            await _acknowledge(queue)
        await queue.move(job.job_id, At(to=1))
        await _acknowledge(queue)
        if number % 2:
            await queue.cancel(job.job_id)
            await _acknowledge(queue)
        await queue.record(EventDraft(EventType.UNIT, f"round {number}", data={"filler": "x" * 600}))
        await _acknowledge(queue)
        if number % 20 == 10:
            await asyncio.to_thread(back_up, database.path)
    await store.close()
    await database.close()


def content(number: int) -> bytes:
    """The bytes of a round's file."""
    return hashlib.sha256(str(number).encode()).digest() * 300


async def _chunks(number: int) -> AsyncIterator[bytes]:
    yield content(number)


async def _acknowledge(queue: Queue) -> None:
    seq = await queue.newest_event()
    os.write(1, f"ack {seq}\n".encode())


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
