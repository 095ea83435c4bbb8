"""The power goes at any moment: nothing that was reported as done is lost, and the database opens.

The file operations of the real storage code are recorded with strace and replayed onto a disk with a volatile cache.
The short run is part of `make test`; the long one, `pytest -m slow tests/power_cut`, has its result in
docs/power-cuts.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore
from agent.storage.clock import SystemClock
from agent.storage.database import Database
from agent.storage.inspection import inspect
from tests.power_cut.disk import Disk, cut_points
from tests.power_cut.trace import STRACE, Acknowledged, Operation, Synced, TraceReader, Wrote

ROOT = Path(__file__).resolve().parents[2]
EVENTS_READ = 100_000


@dataclass
class Tally:
    """What a run of cuts found."""

    points: int = 0
    lost: int = 0
    unusable: int = 0
    torn_artefacts: int = 0


def record(folder: Path, rounds: int) -> list[Operation]:
    """Run the workload under strace and return its file operations."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    state, trace = folder / "state", folder / "trace"
    state.mkdir()
    command = [
        *STRACE,
        "-o",
        str(trace),
        sys.executable,
        "-m",
        "tests.power_cut.workload",
        str(state),
        str(rounds),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr[-2000:]
    return TraceReader(state).read(trace)


def final_events(folder: Path) -> list[tuple[int, str | None, str | None, str]]:
    """All events of the undisturbed run, as the truth to compare with."""
    return asyncio.run(_events(folder / "state"))


async def _events(state: Path) -> list[tuple[int, str | None, str | None, str]]:
    database = await Database.open(state / "fabunit.db")
    try:
        assert database.moved_aside is None, "the database was damaged"
        queue = Queue(database, SystemClock())
        events = await queue.events_after(0, limit=EVENTS_READ)
        store = ArtefactStore(state, 1 << 20, min_free_bytes=0)
        for job in await queue.list(include_over=True):
            path = store.path(job.artefact_sha256)
            if hashlib.sha256(path.read_bytes()).hexdigest() != job.artefact_sha256:
                raise LookupError(job.job_id)
        await store.close()
        return [(event.seq, event.job_id, event.state, event.detail) for event in events]
    finally:
        await database.close()


def check(
    folder: Path, acknowledged: int, truth: list[tuple[int, str | None, str | None, str]], tally: Tally
) -> None:
    """Open what the cut left, as the daemon does at its start, and compare."""
    tally.points += 1
    try:
        found = asyncio.run(_events(folder))
    except (LookupError, FileNotFoundError):
        tally.torn_artefacts += 1
        return
    except AssertionError:
        tally.unusable += 1
        return
    if inspect(folder / "fabunit.db").verdict != "ok":
        tally.unusable += 1
    if found != truth[: len(found)] or len(found) < acknowledged:
        tally.lost += 1


def cut(
    operations: list[Operation],
    points: list[int],
    truth: list[tuple[int, str | None, str | None, str]],
    folder: Path,
    seed: int | None,
) -> Tally:
    """Cut at every point; with a seed some of what was not sure is kept, out of order and torn."""
    tally, disk, done = Tally(), Disk(), 0
    for number, point in enumerate(points):
        for operation in operations[done:point]:
            disk.do(operation)
        done = point
        left = folder / f"cut{number}"
        disk.after_power_cut(left, None if seed is None else random.Random(seed + number))
        check(left, disk.acknowledged, truth, tally)
        shutil.rmtree(left, ignore_errors=True)
    return tally


@pytest.mark.parametrize(
    ("rounds", "count"),
    [pytest.param(24, 40, id="short"), pytest.param(150, 400, id="long", marks=pytest.mark.slow)],
)
def test_no_power_cut_loses_what_was_acknowledged(tmp_path: Path, rounds: int, count: int) -> None:
    operations = record(tmp_path, rounds)
    truth = final_events(tmp_path)
    assert sum(isinstance(operation, Acknowledged) for operation in operations) > rounds * 2
    assert sum(isinstance(found, Wrote) and found.path == "fabunit.db" for found in operations) > rounds, (
        "checkpoints"
    )
    points = cut_points(operations, count)
    strict = cut(operations, points, truth, tmp_path, None)
    mixed = cut(operations, points, truth, tmp_path, 7)
    logging.getLogger("power_cut").warning("%d operations, %s, %s", len(operations), strict, mixed)
    for tally in (strict, mixed):
        assert tally.points == len(points)
        assert (tally.lost, tally.unusable, tally.torn_artefacts) == (0, 0, 0)


def test_the_disk_finds_what_is_not_synced(tmp_path: Path) -> None:
    """The same trace without its flushes must lose something: else this test proves nothing."""
    operations = record(tmp_path, 24)
    truth = final_events(tmp_path)
    careless = [found for found in operations if not (isinstance(found, Synced) and not found.is_directory)]
    tally = cut(careless, cut_points(careless, 12), truth, tmp_path, 7)
    assert tally.lost + tally.unusable + tally.torn_artefacts > 6
