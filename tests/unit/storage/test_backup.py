"""The copy of the database, and the room kept back for it."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import StorageError
from agent.domain.prints import Bed
from agent.ops.backup_keeper import BackupKeeper
from agent.ops.host import HostHealth
from agent.ops.host_watch import HostWatch
from agent.storage import backup, inbox, meta
from agent.storage.backup import back_up, backup_path
from agent.storage.database import Connection, Database
from agent.storage.inbox import Entry, Verdict
from agent.storage.inspection import inspect
from agent.storage.reserve import Reserve


async def test_a_copy_made_beside_the_writer_is_whole(database: Database) -> None:
    await database.run(lambda connection: meta.put(connection, "kept", "yes"))
    copying = asyncio.create_task(asyncio.to_thread(back_up, database.path))
    for number in range(50):
        await database.run(functools.partial(meta.put, key=f"k{number}", value="x" * 2000))
    copy = await copying
    assert copy == backup_path(database.path)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert inspect(copy).verdict == "ok"
    assert not list(copy.parent.glob("*.part*"))
    opened = await Database.open(copy)
    assert opened.moved_aside is None
    assert await opened.read(lambda connection: meta.get(connection, "kept")) == "yes"
    await opened.close()


async def test_a_restored_copy_reuses_no_number_and_prints_nothing_unasked(database: Database) -> None:
    epoch = await database.read(meta.epoch)
    assert await database.read(meta.bed) is Bed.CLEAR
    copy = await asyncio.to_thread(back_up, database.path)
    opened = await Database.open(copy)
    assert await opened.read(meta.epoch) not in (epoch, "")
    assert await opened.read(meta.bed) is Bed.OCCUPIED
    await opened.close()


async def test_a_copy_that_fails_leaves_the_older_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = await asyncio.to_thread(back_up, database.path)
    before = copy.read_bytes()

    def fail(_source: Path, _part: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "_copy", fail)
    with pytest.raises(StorageError) as caught:
        await asyncio.to_thread(back_up, database.path)
    assert caught.value.code == "disk_full"
    assert copy.read_bytes() == before
    assert not list(copy.parent.glob("*.part*"))


async def test_the_keeper_copies_and_tells_of_a_failure(database: Database) -> None:
    keeper = BackupKeeper(database.path, delay_s=0, every_s=3600)
    running = asyncio.create_task(keeper.run())
    while not backup_path(database.path).exists():
        await asyncio.sleep(0.01)
    assert keeper.warnings() == []
    running.cancel()
    missing = BackupKeeper(database.path.with_name("none.db"), delay_s=0, every_s=3600)
    running = asyncio.create_task(missing.run())
    while not missing.warnings():
        await asyncio.sleep(0.01)
    running.cancel()
    assert "could not be copied" in missing.warnings()[0]


async def test_a_copy_that_could_not_forget_is_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = BackupKeeper(database.path, delay_s=0, every_s=3600, again_s=0.01)
    entry = Entry("order-1", 1, "d", Verdict.TAKEN, document="for nobody else")
    await database.run(lambda connection: inbox.insert(connection, entry))
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        while not backup_path(database.path).exists():
            await asyncio.sleep(0.01)
        await database.run(lambda connection: inbox.forget_document(connection, "order-1", 1))
        real, fails = backup._copy, iter((True, True))

        def flaky(source: Path, part: Path) -> None:
            if next(fails, False):
                raise OSError(errno.ENOSPC, "No space left on device")
            real(source, part)

        monkeypatch.setattr(backup, "_copy", flaky)
        await keeper.forget_order("order-1", 1)
        assert keeper.warnings()
        assert backup.holds_order(database.path, "order-1", 1)
        while keeper.warnings():
            await asyncio.sleep(0.01)
    running.cancel()
    assert not backup.holds_order(database.path, "order-1", 1)


def test_a_copy_that_cannot_be_read_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "fabunit.db"
    assert not backup.holds_order(path, "order-1", 1), "there is none"
    backup_path(path).write_bytes(b"no database at all" * 100)
    assert backup.holds_order(path, "order-1", 1)


def test_the_reserve_is_real_room(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 1 << 20)
    assert reserve.take()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 1 << 20
    assert reserve.take(), "taking it again changes nothing"
    assert reserve.release()
    assert not reserve.release()


def test_the_reserve_is_not_what_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    small = os.statvfs_result([*real[:4], 10, *real[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _: small)
    assert not Reserve(tmp_path / "reserve").take()
    assert not (tmp_path / "reserve").exists()


async def test_a_full_disk_costs_the_reserve_and_not_the_write(database: Database) -> None:
    database.reserve.take()
    tries = 0

    def write(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        meta.put(connection, "written", "yes")

    await database.run(write)
    assert tries == 2
    assert await database.read(lambda connection: meta.get(connection, "written")) == "yes"
    assert not database.path.with_name("reserve").exists()

    def never(_connection: Connection) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with pytest.raises(StorageError) as caught:
        await database.run(never)
    assert caught.value.code == "disk_full"


async def test_the_watch_looks_and_keeps_the_disk(tmp_path: Path) -> None:
    health = HostHealth(85.0, None, None, None, None, None, None, None, None, is_clock_set=True)
    refreshed: list[int] = []

    def read(_state: Path, _root: Path) -> HostHealth:
        return health

    watch = HostWatch(tmp_path, 0, refresh=lambda: refreshed.append(1), read=read, every_s=0.01)
    assert watch.document() is None
    assert watch.warnings() == []
    running = asyncio.create_task(watch.run())
    while len(refreshed) < 3:
        await asyncio.sleep(0.01)
    running.cancel()
    document: dict[str, Any] | None = watch.document()
    assert document is not None
    assert document["cpu_c"] == 85.0
    assert "85 °C" in watch.warnings()[0]
    assert watch.figures() == {"host.cpu_c": 85.0}


def test_looking_into_a_database_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    before = path.read_bytes()
    found = inspect(path)
    assert (found.verdict, found.tables, found.schema_version) == ("ok", {"t": 0}, 0)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all" * 100)
    assert inspect(path).verdict != "ok"
