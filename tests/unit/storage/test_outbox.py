"""The outbox: what the coordinator lacks stays, whatever is trimmed; orders and commands are remembered in bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.events import ClockState, EventDraft, EventType, Stamp
from agent.storage import commands, events, inbox, meta, outbox
from agent.storage.clock import SystemClock
from agent.storage.database import Connection, Database
from agent.storage.inbox import Entry, Verdict

STAMP = Stamp(1, 2, "b", ClockState.UNSYNC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "fabunit.db")
    yield database
    await database.close()


def write(connection: Connection, count: int) -> None:
    for number in range(count):
        events.append(connection, EventDraft(EventType.UNIT, f"n {number}"), STAMP)


async def test_joining_begins_with_what_comes(database: Database) -> None:
    await database.run(lambda connection: write(connection, 5))
    assert await database.run(outbox.join) == 5
    await database.run(lambda connection: write(connection, 2))
    assert await database.run(outbox.join) == 5, "joining again changes nothing"
    waiting = await database.read(lambda connection: outbox.read(connection, 5, 10, 5))
    assert [event.seq for event in waiting.events] == [6, 7]
    assert (waiting.newest, waiting.held_from) == (7, 6)
    assert waiting.events[0].clk is ClockState.UNSYNC


async def test_what_is_not_acknowledged_is_not_trimmed(database: Database) -> None:
    def history(connection: Connection) -> int:
        outbox.join(connection)
        write(connection, 300)
        events.acknowledge(connection, meta.epoch(connection), 100)
        return events.trim(connection, 10)

    assert await database.run(history) == 100
    waiting = await database.read(lambda connection: outbox.read(connection, 0, 1, 0))
    assert waiting.held_from == 101


async def test_at_the_very_bound_the_oldest_go_and_the_gap_shows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "UNDELIVERED_LIMIT", 50)

    def history(connection: Connection) -> None:
        outbox.join(connection)
        write(connection, 80)
        events.trim(connection, 10)

    await database.run(history)
    waiting = await database.read(lambda connection: outbox.read(connection, 0, 100, 0))
    assert waiting.held_from == 31
    assert len(waiting.events) == 50


async def test_the_lowest_undelivered_number_does_not_depend_on_the_cursor(database: Database) -> None:
    """A batch further on must not tell the coordinator that the ones before it never come."""
    await database.run(outbox.join)
    await database.run(lambda connection: write(connection, 10))
    waiting = await database.read(lambda connection: outbox.read(connection, 6, 2, 2))
    assert [event.seq for event in waiting.events] == [7, 8]
    assert waiting.held_from == 3


async def test_omissions_are_marked_once(database: Database) -> None:
    await database.run(lambda connection: write(connection, 3))
    assert await database.run(lambda connection: outbox.omit(connection, 2, "too large"))
    assert not await database.run(lambda connection: outbox.omit(connection, 2, "again"))
    waiting = await database.read(lambda connection: outbox.read(connection, 0, 10, 0))
    assert waiting.omitted == {2: "too large"}
    assert await database.read(outbox.count_omitted) == 1


async def test_connections_are_counted_durably(database: Database, tmp_path: Path) -> None:
    assert [await database.run(outbox.count_connect) for _ in range(2)] == [1, 2]
    await database.close()
    again = await Database.open(tmp_path / "fabunit.db")
    assert await again.run(outbox.count_connect) == 3
    await again.close()


async def test_answers_are_remembered_within_bounds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "KEPT", 3)

    def several(connection: Connection) -> list[commands.Remembered | None]:
        for number in range(6):
            commands.begin(connection, f"c{number}", "d")
            commands.finish(connection, f"c{number}", f"a{number}")
        return [commands.begin(connection, f"c{number}", "d") for number in (5, 0)]

    newest, oldest = await database.run(several)
    assert newest is not None
    assert newest.answer == "a5"
    assert oldest is None


async def test_the_inbox_forgets_only_what_is_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "KEPT_ENTRIES", 4)
    monkeypatch.setattr(inbox, "KEPT_TOMBSTONES", 2)
    monkeypatch.setattr(inbox, "KEPT_DOCUMENTS", 1)

    def fill(connection: Connection) -> None:
        connection.execute(
            "INSERT INTO jobs (job_id, rev, state, name, artefact_sha256, artefact_format, artefact_size, copies,"
            " copies_done, position, priority, source, detail, attempt, created_ms, updated_ms, touched) VALUES"
            " ('o-0', 1, 'ready', 'x', ?, 'gcode', 1, 1, 0, 1, 0, 'coordinator', '', 1, 1, 1, 1)",
            ("a" * 64,),
        )
        for number in range(10):
            inbox.insert(connection, Entry(f"o-{number}", 1, "d", Verdict.TAKEN, document="{}", boot="b"))
            inbox.insert(connection, Entry(f"t-{number}", 1, None, Verdict.CANCELLED, boot="b"))

    await database.run(fill)
    rows = await database.read(
        lambda connection: connection.execute("SELECT job_id, document FROM inbox ORDER BY n").fetchall()
    )
    orders = [row["job_id"] for row in rows if row["job_id"].startswith("o")]
    assert orders == ["o-0", "o-6", "o-7", "o-8", "o-9"], "the unfinished one stays"
    assert [row["job_id"] for row in rows if row["job_id"].startswith("t")] == ["t-8", "t-9"]
    assert [row["job_id"] for row in rows if row["document"]] == ["o-0", "o-9"]


def test_the_clock_tells_whether_it_is_set() -> None:
    answers = iter([False, True])
    some = SystemClock(lambda: next(answers))
    assert some.stamp().clk is ClockState.UNSYNC
    assert some.stamp().clk is ClockState.UNSYNC, "it is not asked for every record"
    some._checked_ms = -(10**9)
    assert some.stamp().clk is ClockState.SYNC


def test_a_jump_of_the_clock_marks_the_records_of_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, counted = [10**18], [10**12]
    monkeypatch.setattr("time.time_ns", lambda: wall[0])
    monkeypatch.setattr("time.monotonic_ns", lambda: counted[0])
    some = SystemClock(lambda: True)
    assert some.stamp().clk is ClockState.SYNC
    wall[0] += 3600 * 10**9
    assert some.stamp().clk is ClockState.STEPPED
    for clock in (wall, counted):
        clock[0] += 9 * 10**9
    assert some.stamp().clk is ClockState.STEPPED, "a sample between the jump and an event does not hide it"
    for clock in (wall, counted):
        clock[0] += 2 * 10**9
    assert some.stamp().clk is ClockState.SYNC
