"""A beat is sent only while the event loop, the database thread and the printer thread all make progress."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.ops.heartbeat import Heartbeat
from agent.ops.systemd import Notifier
from agent.storage import meta
from agent.storage.database import Database

INTERVAL_S = 0.1
LIMIT_S = 10.0


class Manager:
    """The service manager's end: counts beats."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.setblocking(False)
        self.notifier = Notifier(str(folder / "notify"))

    def beats(self) -> int:
        """Beats that came since the last look."""
        found = 0
        while True:
            try:
                found += b"WATCHDOG=1" in self.socket.recv(4096)
            except BlockingIOError:
                return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.socket.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "fabunit.db")
    yield opened
    await opened.close()


async def beats_within_limit(manager: Manager, count: int) -> int:
    """Wait for `count` beats; returns how many came until then, or until the time was up."""
    seen = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            while seen < count:
                await asyncio.sleep(INTERVAL_S / 4)
                seen += manager.beats()
    return seen


async def falls_silent(manager: Manager) -> bool:
    """Tell whether there come four intervals in a row without a beat."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            manager.beats()
            while True:
                await asyncio.sleep(INTERVAL_S * 4)
                if manager.beats() == 0:
                    return True
    return False


async def test_beats_while_everything_moves(manager: Manager, database: Database) -> None:
    async def answers() -> bool:
        await database.read(meta.bed)
        return True

    task = asyncio.create_task(Heartbeat(manager.notifier, INTERVAL_S, {"database": answers}).run())
    assert await beats_within_limit(manager, 3) >= 3
    task.cancel()


async def test_a_hung_database_thread_stops_the_beat_and_an_answer_brings_it_back(
    manager: Manager, database: Database
) -> None:
    async def answers() -> bool:
        await database.read(meta.bed)
        return True

    task = asyncio.create_task(Heartbeat(manager.notifier, INTERVAL_S, {"database": answers}).run())
    assert await beats_within_limit(manager, 1) >= 1
    let_go = threading.Event()
    hung = asyncio.create_task(database.run(lambda _: let_go.wait(LIMIT_S)))
    assert await falls_silent(manager)
    let_go.set()
    await hung
    assert await beats_within_limit(manager, 2) >= 2
    task.cancel()


async def test_a_printer_thread_that_stands_still_stops_the_beat(manager: Manager) -> None:
    beats = 0
    moving = True

    async def goes_round() -> bool:
        nonlocal beats
        beats += moving
        return moving

    task = asyncio.create_task(Heartbeat(manager.notifier, INTERVAL_S, {"printer": goes_round}).run())
    assert await beats_within_limit(manager, 1) >= 1
    moving = False
    assert await falls_silent(manager)
    task.cancel()


async def test_silent_parts_are_named_and_asked_only_once(manager: Manager) -> None:
    asked = 0

    async def hangs() -> bool:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return True

    async def fails() -> bool:
        msg = "no such table"
        raise OSError(msg)

    async def works() -> bool:
        return True

    heartbeat = Heartbeat(manager.notifier, INTERVAL_S, {"database": hangs, "disk": fails, "printer": works})
    assert await heartbeat.silent_parts() == ["database", "disk"]
    assert await heartbeat.silent_parts() == ["database", "disk"]
    assert asked == 1
