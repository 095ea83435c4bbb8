"""A database of every schema version there ever was opens with all it held, and looks like a new one afterwards."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.domain.events import ClockState
from agent.domain.prints import Bed
from agent.jobs.queue import Queue
from agent.storage import meta, schema
from agent.storage.clock import SystemClock
from agent.storage.database import Database
from agent.storage.inspection import inspect

FROZEN = Path(__file__).resolve().parents[2] / "data" / "databases"
VERSIONS = [number for number, _ in schema.migrations()]


def frozen(version: int) -> Path:
    return FROZEN / f"version-{version}.sql"


def restore(version: int, path: Path) -> dict[str, int]:
    """Make the frozen database and count its rows."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(frozen(version).read_text())
    return inspect(path).tables


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_every_version_before_the_newest_is_frozen(version: int) -> None:
    assert frozen(version).exists(), "freeze the old schema before a migration changes it"


@pytest.mark.parametrize("version", [version for version in VERSIONS if frozen(version).exists()])
async def test_nothing_is_lost_on_the_way_to_the_newest(tmp_path: Path, version: int) -> None:
    path, fresh = tmp_path / "fabunit.db", tmp_path / "fresh.db"
    before = restore(version, path)
    await (await Database.open(fresh)).close()
    database = await Database.open(path)
    assert database.moved_aside is None
    queue = Queue(database, SystemClock())
    await queue.open()
    assert [job.job_id for job in await queue.list(include_over=True)] == ["j-0", "j-1", "j-3", "j-2"]
    running = await queue.running()
    assert running is not None
    assert running.record.print_id == "p-2", "a print that runs over the upgrade is found"
    events = await queue.events_after(0)
    assert [event.seq for event in events] == [3, 4, 5]
    assert events[0].clk is (ClockState.UNSYNC if version >= 2 else ClockState.SYNC)
    assert await queue.newest_event() == 5, "a number is never given out twice"
    assert await database.read(meta.epoch) == "0123456789abcdef"
    assert await queue.bed() is Bed.OCCUPIED
    await database.close()
    after, new = inspect(path), inspect(fresh)
    assert after.verdict == "ok"
    assert after.schema_version == new.schema_version == VERSIONS[-1]
    assert {name: after.tables[name] for name in before} == before
    assert after.ddl == new.ddl, "as if it had been made today"
