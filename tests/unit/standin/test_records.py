from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.coordinator.documents import EventBatch, EventRecord
from agent.coordinator.standin import records
from agent.coordinator.standin.ledger import Ledger
from agent.coordinator.standin.records import Range
from tests.unit.standin.said import EPOCH, batch, record


def take(ledger: Ledger, *said: dict[str, Any], first: int | None = 1) -> list[int]:
    with ledger.transaction() as connection:
        document = EventBatch.model_validate(batch(*said, first=first))
        return [new.seq for new in records.take(connection, document, 0)]


def upto(ledger: Ledger, epoch: str = EPOCH) -> int | None:
    with ledger.transaction() as connection:
        records.repeat_acks(connection)
        return {ack.epoch: ack.upto for ack in records.take_due_acks(connection)}.get(epoch)


def only(ledger: Ledger) -> records.Continuity:
    (found,) = records.continuity(ledger.reading)
    return found


def test_records_in_order_are_complete(ledger: Ledger) -> None:
    assert take(ledger, record(1), record(2)) == [1, 2]
    assert take(ledger, record(3)) == [3]
    assert upto(ledger) == 3
    assert only(ledger).is_sound


def test_a_repeated_record_is_kept_once(ledger: Ledger) -> None:
    take(ledger, record(1), record(2))
    assert take(ledger, record(2), record(3)) == [3]
    found = only(ledger)
    assert (found.received, found.repeated, found.upto) == (3, 1, 3)
    assert found.is_sound


def test_nothing_behind_a_hole_is_acknowledged(ledger: Ledger) -> None:
    take(ledger, record(1))
    take(ledger, record(4), record(5))
    assert upto(ledger) == 1
    assert only(ledger).open == (Range(2, 3),)
    assert not only(ledger).is_sound
    take(ledger, record(2), record(3))
    assert upto(ledger) == 5
    assert only(ledger).is_sound


def test_what_the_unit_no_longer_holds_is_a_gap(ledger: Ledger) -> None:
    take(ledger, record(1))
    take(ledger, record(7), first=6)
    found = only(ledger)
    assert found.gaps == (Range(2, 5),)
    assert found.open == (Range(6, 6),)
    take(ledger, record(6), first=6)
    assert upto(ledger) == 7
    assert only(ledger).gaps == (Range(2, 5),), "lost stays lost"


def test_a_new_coordinator_begins_where_the_unit_is(ledger: Ledger) -> None:
    take(ledger, record(1000), first=1000)
    found = only(ledger)
    assert (found.base, found.upto) == (999, 1000)
    assert found.is_sound


def test_without_a_word_about_the_first_the_lowest_counts(ledger: Ledger) -> None:
    take(ledger, record(10), first=None)
    take(ledger, record(13), first=None)
    assert upto(ledger) == 10
    assert only(ledger).gaps == ()


def test_merged_telemetry_stands_for_what_it_covers(ledger: Ledger) -> None:
    take(ledger, record(1, type="telemetry"))
    take(ledger, record(3, type="telemetry"))
    take(ledger, record(5, type="telemetry", covers=2), record(6))
    assert upto(ledger) == 6
    assert only(ledger).is_sound


def test_another_content_under_the_same_number_is_a_contradiction(ledger: Ledger) -> None:
    take(ledger, record(1, state="ready"))
    take(ledger, record(1, state="failed"))
    assert only(ledger).conflicts == 1
    assert not only(ledger).is_sound


def test_an_omitted_record_does_not_contradict(ledger: Ledger) -> None:
    take(ledger, record(1, state="ready"))
    take(ledger, record(1, omitted="too large"))
    take(ledger, record(2, omitted="too large"))
    take(ledger, record(2, state="ready"))
    assert only(ledger).is_sound


def test_epochs_are_counted_apart(ledger: Ledger) -> None:
    take(ledger, record(5), first=5)
    take(ledger, record(1, epoch="e2"))
    assert (upto(ledger), upto(ledger, "e2")) == (5, 1)


def test_an_acknowledgement_is_due_again_when_a_record_comes_again(ledger: Ledger) -> None:
    take(ledger, record(1))
    with ledger.transaction() as connection:
        assert [ack.upto for ack in records.take_due_acks(connection)] == [1]
        assert records.take_due_acks(connection) == []
    take(ledger, record(1))
    with ledger.transaction() as connection:
        assert [ack.upto for ack in records.take_due_acks(connection)] == [1]


def test_old_records_are_forgotten_but_never_what_still_counts(ledger: Ledger) -> None:
    take(ledger, *(record(seq) for seq in range(1, 51)))
    take(ledger, record(60))
    with ledger.transaction() as connection:
        records.trim(connection, 10)
    left = [row["seq"] for row in ledger.reading.execute("SELECT seq FROM records ORDER BY seq")]
    assert left == [*range(42, 51), 60]
    take(ledger, *(record(seq) for seq in range(51, 60)))
    assert upto(ledger) == 60


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), max_size=25))
def test_the_acknowledged_number_is_never_above_a_missing_one(
    tmp_path_factory: pytest.TempPathFactory, batches: Sequence[list[int]]
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "c.db")
    try:
        here: set[int] = set()
        for numbers in batches:
            take(ledger, *(record(seq) for seq in sorted(numbers)))
            here |= set(numbers)
            expected = next(number for number in range(1, 40) if number not in here) - 1
            assert upto(ledger) == expected
        if here:
            found = only(ledger)
            told = {seq for part in found.open for seq in range(part.first, part.last + 1)}
            assert told == set(range(1, max(here) + 1)) - here
            assert found.received == len(here)
    finally:
        ledger.close()


def test_records_read_back_as_they_came(ledger: Ledger) -> None:
    take(ledger, record(1, future="kept", data={"a": [1, 2]}))
    row = ledger.reading.execute("SELECT body FROM records").fetchone()
    assert EventRecord.model_validate_json(row["body"]).model_extra == {"future": "kept"}
