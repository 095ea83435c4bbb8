from __future__ import annotations

import pytest

from agent.domain.errors import UsageError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.storage import events, meta
from agent.storage.database import Connection, Database

STAMP = Stamp(1_700_000_000_000, 42, "boot-1")


def _append(connection: Connection, count: int) -> list[int]:
    draft = EventDraft(EventType.UNIT, "ü", data={"n": 1})
    return [events.append(connection, draft, STAMP) for _ in range(count)]


async def test_numbers_count_up_and_carry_the_epoch(database: Database) -> None:
    assert await database.run(lambda connection: _append(connection, 3)) == [1, 2, 3]
    epoch = await database.read(meta.epoch)
    read = await database.read(lambda connection: events.after(connection, 1, 10))
    assert [(event.epoch, event.seq) for event in read] == [(epoch, 2), (epoch, 3)]
    assert (read[0].detail, read[0].data, read[0].t_ms, read[0].mono_ms, read[0].boot) == (
        "ü",
        {"n": 1},
        STAMP.t_ms,
        STAMP.mono_ms,
        STAMP.boot,
    )
    assert len(await database.read(lambda connection: events.after(connection, 0, 2))) == 2


async def test_a_number_is_never_given_twice(database: Database) -> None:
    await database.run(lambda connection: _append(connection, 5))
    assert await database.run(lambda connection: events.trim(connection, 0)) == 5
    assert await database.run(lambda connection: _append(connection, 1)) == [6]


async def test_history_of_a_stand_alone_unit_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HISTORY_LIMIT", 100)
    await database.run(lambda connection: _append(connection, 1_050))
    kept = await database.read(lambda connection: events.after(connection, 0, 10_000))
    assert kept[-1].seq == 1_050
    assert 100 <= len(kept) < 100 + events.TRIM_EVERY


async def test_what_a_coordinator_lacks_is_never_trimmed(database: Database) -> None:
    epoch = await database.read(meta.epoch)
    await database.run(lambda connection: _append(connection, 50))
    assert await database.run(lambda connection: events.acknowledge(connection, epoch, 10)) == 10
    await database.run(lambda connection: events.trim(connection, 5))
    assert (await database.read(lambda connection: events.after(connection, 0, 1)))[0].seq == 11
    assert await database.run(lambda connection: events.acknowledge(connection, epoch, 4)) == 10
    assert await database.run(lambda connection: events.acknowledge(connection, epoch, 50)) == 50
    await database.run(lambda connection: events.trim(connection, 5))
    assert (await database.read(lambda connection: events.after(connection, 0, 1)))[0].seq == 46


async def test_a_foreign_acknowledgement_is_refused(database: Database) -> None:
    epoch = await database.read(meta.epoch)
    await database.run(lambda connection: _append(connection, 3))
    for foreign_epoch, upto in (("other", 1), (epoch, 4)):
        with pytest.raises(UsageError):
            await database.run(
                lambda connection, e=foreign_epoch, u=upto: events.acknowledge(connection, e, u)  # type: ignore[misc]
            )
    assert await database.read(meta.acked_upto) is None
