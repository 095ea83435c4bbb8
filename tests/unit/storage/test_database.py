from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from agent.domain.errors import StorageError, UsageError
from agent.domain.prints import Bed
from agent.storage import faults, meta, schema
from agent.storage.database import Connection, Database


async def test_settings_that_power_cuts_depend_on(database: Database) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "user_version")
    figures = await database.read(lambda connection: {name: _pragma(connection, name) for name in names})
    assert figures == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "trusted_schema": 0,
        "user_version": schema.migrations()[-1][0],
    }


def _pragma(connection: Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


async def test_file_is_for_its_owner_only(database: Database) -> None:
    assert database.path.stat().st_mode & 0o777 == 0o600


async def test_all_work_runs_in_one_other_thread(database: Database) -> None:
    threads = {await database.run(lambda _: threading.get_ident()) for _ in range(5)}
    threads |= {await database.read(lambda _: threading.get_ident())}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def half(connection: Connection) -> None:
        meta.set_bed(connection, Bed.OCCUPIED)
        raise UsageError("no")

    with pytest.raises(UsageError):
        await database.run(half)
    assert await database.read(meta.bed) is Bed.CLEAR


async def test_a_cancelled_caller_does_not_undo_the_transaction(database: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        entered.set()
        assert go_on.wait(10)
        meta.set_bed(connection, Bed.OCCUPIED)

    running = asyncio.create_task(database.run(slow))
    await asyncio.to_thread(entered.wait, 10)
    queued = asyncio.create_task(database.run(lambda connection: meta.put(connection, "queued", "yes")))
    await asyncio.sleep(0)
    for task in (running, queued):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go_on.set()
    assert await database.read(meta.bed) is Bed.OCCUPIED
    assert await database.read(lambda connection: meta.get(connection, "queued")) == "yes"


async def test_survives_closing_and_opening(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "fabunit.db"
    first = await Database.open(path)
    epoch = await first.read(meta.epoch)
    await first.run(lambda connection: meta.set_bed(connection, Bed.OCCUPIED))
    await first.close()
    await first.close()
    with pytest.raises(StorageError, match="closed"):
        await first.read(meta.bed)
    second = await Database.open(path)
    assert await second.read(meta.bed) is Bed.OCCUPIED
    assert await second.read(meta.epoch) == epoch
    assert second.moved_aside is None
    await second.close()


async def test_full_disk_is_told_with_a_remedy_and_nothing_breaks(database: Database) -> None:
    def limit(connection: Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await database.read(limit)
    with pytest.raises(StorageError) as caught:
        await database.run(lambda connection: meta.put(connection, "big", "x" * 500_000))
    assert caught.value.code == "disk_full"
    assert caught.value.remedy
    assert await database.read(lambda connection: meta.get(connection, "big")) is None
    await database.run(lambda connection: meta.put(connection, "bed", "clear"))


async def test_a_foreign_lock_is_told(database: Database) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA busy_timeout = 10").close())
    other = sqlite3.connect(database.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError) as caught:
            await database.run(lambda connection: meta.put(connection, "a", "b"))
        assert caught.value.code == "database_locked"
        assert await database.read(meta.bed) is Bed.CLEAR, "reading needs no lock"
    finally:
        other.close()


@pytest.mark.parametrize("damage", ["garbage", "header", "pages"])
async def test_a_damaged_file_is_moved_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "fabunit.db"
    database = await Database.open(path)
    epoch = await database.read(meta.epoch)
    await database.run(lambda connection: meta.put(connection, "filler", "y" * 100_000))
    await database.close()
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content = bytearray(b"this is not a database at all " * 100)
    elif damage == "header":
        content[:100] = bytes(100)
    else:
        content[4096 : 4096 * 8] = b"\xa5" * (4096 * 7)
    path.write_bytes(content)
    Path(f"{path}-wal").write_bytes(b"left over")

    mended = await Database.open(path)
    try:
        assert mended.moved_aside is not None
        assert mended.moved_aside.read_bytes() == bytes(content)
        assert mended.moved_aside.name.startswith("fabunit.db.corrupt-20")
        assert await mended.read(meta.epoch) != epoch
    finally:
        await mended.close()


async def test_damage_met_in_use_is_looked_for_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "fabunit.db"
    database = await Database.open(path)

    def meets_damage(connection: Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(StorageError) as caught:
        await database.run(meets_damage)
    assert caught.value.code == "database_corrupt"
    # An index that does not know a row of its table: the quick check does not see it.
    await database.run(lambda connection: connection.execute("PRAGMA writable_schema = ON").close())
    await database.close()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (a)")
    other.execute("INSERT INTO t VALUES (1)")
    other.execute("CREATE INDEX i ON t (a)")
    other.execute("PRAGMA writable_schema = ON")
    root = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'i'").fetchone()[0]
    other.execute("CREATE TABLE empty (a)")
    other.execute("CREATE INDEX j ON empty (a)")
    empty = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'j'").fetchone()[0]
    other.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = 'i'", (empty,))
    other.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = 'j'", (root,))
    other.commit()
    other.close()
    mended = await Database.open(path)
    assert mended.moved_aside is not None
    await mended.close()
    again = await Database.open(path)
    assert again.moved_aside is None
    assert not list(tmp_path.glob("*.suspect"))
    await again.close()


async def test_only_a_few_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "fabunit.db"
    for _ in range(6):
        path.write_bytes(b"not a database, for sure" * 10)
        Path(f"{path}-wal").write_bytes(b"left over")
        await (await Database.open(path)).close()
    assert len(list(tmp_path.glob("fabunit.db.corrupt-*Z"))) == 3
    assert len(list(tmp_path.glob("fabunit.db.corrupt-*"))) <= 3 * 3


async def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "fabunit.db"
    path.touch()
    database = await Database.open(path)
    assert database.moved_aside is None
    assert await database.read(meta.bed) is Bed.CLEAR
    await database.close()


async def test_a_database_of_a_newer_fabunit_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "fabunit.db"
    await (await Database.open(path)).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        await Database.open(path)
    assert caught.value.code == "database_newer"
    assert "99" in caught.value.message
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*corrupt*"))


def test_migrations_count_up_without_gaps() -> None:
    assert [number for number, _ in schema.migrations()] == list(range(1, len(schema.migrations()) + 1))


def test_a_migration_that_fails_leaves_the_old_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    good = schema.migrations()
    schema.migrate(connection)
    bad = (len(good) + 1, "CREATE TABLE fresh (a) STRICT; CREATE TABLE jobs (a INTEGER) STRICT;")
    monkeypatch.setattr(schema, "migrations", lambda: [*good, bad])
    with pytest.raises(sqlite3.Error):
        schema.migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(good)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "fresh" not in names
    connection.close()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    schema.migrate(connection)
    epoch = meta.epoch(connection)
    schema.migrate(connection)
    assert meta.epoch(connection) == epoch
    connection.close()


async def test_an_unusable_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        await Database.open(tmp_path / "file" / "fabunit.db")


@pytest.mark.parametrize(
    ("error_code", "code"),
    [
        (sqlite3.SQLITE_FULL, "disk_full"),
        (sqlite3.SQLITE_BUSY, "database_locked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "database_locked"),
        (sqlite3.SQLITE_CORRUPT_VTAB, "database_corrupt"),
        (sqlite3.SQLITE_NOTADB, "database_corrupt"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "storage_failed"),
        (sqlite3.SQLITE_IOERR_WRITE, "storage_failed"),
    ],
)
def test_sqlite_errors_have_codes_and_remedies(error_code: int, code: str) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = error_code
    mapped = faults.from_sqlite(error, Path("/state/fabunit.db"))
    assert mapped.code == code
    assert mapped.remedy
    assert "/state" in mapped.message
