from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.coordinator.standin import orders, protocol, units
from agent.coordinator.standin.ledger import Ledger
from agent.coordinator.standin.protocol import Arrived, Outgoing, Refusal
from tests.unit.standin.said import EPOCH, UNIT, answer, batch, message, presence, record

NOW = 1_000_000


def hear(ledger: Ledger, *messages: Arrived, now_ms: int = NOW) -> list[Refusal]:
    with ledger.transaction() as connection:
        return [told for one in messages if (told := protocol.receive(connection, one, now_ms))]


def due(
    ledger: Ledger, now_ms: int = NOW, in_flight: frozenset[protocol.Mark] = frozenset()
) -> dict[str, list[Any]]:
    """What is to be sent now, by the end of its topic."""
    with ledger.transaction() as connection:
        found = protocol.due(connection, now_ms, in_flight)
    told: dict[str, list[Any]] = {}
    for one in found:
        told.setdefault(one.topic.partition(f"{UNIT}/")[2], []).append(json.loads(one.payload))
    return told


def send(ledger: Ledger, now_ms: int = NOW) -> list[Outgoing]:
    """Send what is due; the broker takes everything."""
    with ledger.transaction() as connection:
        found = protocol.due(connection, now_ms, frozenset())
        for one in found:
            if one.mark is not None:
                protocol.sent(connection, one.mark)
    return found


def push(ledger: Ledger, job_id: str = "j1", rev: int = 1, expires_ms: int | None = None) -> None:
    with ledger.transaction() as connection:
        units.met(connection, UNIT, NOW)
        payload = json.dumps({"job_id": job_id, "rev": rev}).encode()
        orders.add_job(connection, orders.NewOrder(job_id, rev, UNIT, "a.gcode", payload, expires_ms), NOW)


def command(ledger: Ledger, cmd_id: str = "k1", expires_ms: int = NOW + 5000) -> None:
    with ledger.transaction() as connection:
        orders.add_command(connection, UNIT, cmd_id, b'{"cmd_id":"k1"}', expires_ms)


def state_of(ledger: Ledger, job_id: str = "j1") -> str | None:
    return orders.jobs(ledger.reading, job_id=job_id)[-1].state


def test_events_are_answered_with_an_acknowledgement(ledger: Ledger) -> None:
    assert not hear(ledger, message("up/events", batch(record(1), record(2))))
    (ack,) = due(ledger)["down/ack"]
    assert (ack["epoch"], ack["upto"]) == (EPOCH, 2)
    assert "down/ack" not in due(ledger)


def test_a_birth_is_greeted_with_acknowledgements_wants_and_jobs(ledger: Ledger) -> None:
    hear(ledger, message("up/events", batch(record(1))))
    push(ledger)
    send(ledger)
    assert due(ledger) == {}
    hear(ledger, message("state/presence", presence(connect=2)))
    told = due(ledger)
    assert told["down/ack"][0]["upto"] == 1
    assert told["down/want"][0]["jobs"] == [{"job_id": "j1", "rev": 1}]


def test_a_job_is_due_until_the_broker_has_it(ledger: Ledger) -> None:
    push(ledger)
    assert due(ledger)["down/jobs"] == [{"job_id": "j1", "rev": 1}]
    assert due(ledger)["down/jobs"], "a crash before the PUBACK sends it again"
    assert "down/jobs" not in due(ledger, in_flight=frozenset({("jobs", 1)}))
    send(ledger)
    assert "down/jobs" not in due(ledger)


def test_a_lost_push_is_healed_by_the_want(ledger: Ledger) -> None:
    push(ledger)
    first = [one.payload for one in send(ledger) if one.topic.endswith("jobs")]
    hear(ledger, message("up/results", answer("want", "missing", jobs=[{"job_id": "j1", "rev": 1}])))
    again = [one.payload for one in send(ledger) if one.topic.endswith("jobs")]
    assert first == again, "the same bytes, or the unit takes it for another job"


def test_a_job_is_followed_through_records_in_any_repetition(ledger: Ledger) -> None:
    push(ledger)
    send(ledger)
    told = [
        record(n, type="job", job="j1", rev=1, state=state)
        for n, state in enumerate(("received", "ready"), 1)
    ]
    hear(ledger, message("up/events", batch(*told)))
    assert state_of(ledger) == "ready"
    hear(ledger, message("up/events", batch(told[0])))
    assert state_of(ledger) == "ready"
    assert "down/want" not in due(ledger)
    hear(ledger, message("up/events", batch(record(3, type="job", job="j1", rev=1, state="completed"))))
    assert orders.jobs(ledger.reading)[0].is_over
    assert due(ledger)["down/want"][0]["jobs"] == []
    hear(ledger, message("up/events", batch(record(4, type="job", job="j1", rev=1, state="received"))))
    assert due(ledger)["down/want"][0]["jobs"], "retried at the unit: wanted again"


def test_records_of_other_jobs_and_revisions_change_nothing(ledger: Ledger) -> None:
    push(ledger)
    strange = [
        record(1, type="job", job="other", state="failed"),
        record(2, type="job", job="j1", rev=2, state="failed"),
    ]
    hear(ledger, message("up/events", batch(*strange)))
    assert state_of(ledger) is None


def test_a_refused_document_ends_the_job(ledger: Ledger) -> None:
    push(ledger)
    hear(
        ledger,
        message("up/results", answer("job", "failed", job_id="j1", rev=1, detail="artefact.url: missing")),
    )
    (order,) = orders.jobs(ledger.reading)
    assert (order.state, order.detail) == ("refused", "artefact.url: missing")
    assert order.is_over


def test_a_job_the_unit_has_no_room_for_is_sent_again_later(ledger: Ledger) -> None:
    push(ledger)
    send(ledger)
    hear(ledger, message("up/results", answer("job", "failed", job_id="j1", rev=1, code="queue_full")))
    assert state_of(ledger) is None
    assert "down/jobs" not in due(ledger, now_ms=NOW + orders.LATER_MS - 1)
    assert due(ledger, now_ms=NOW + orders.LATER_MS)["down/jobs"]


def test_a_rejection_in_the_answer_is_the_jobs_end(ledger: Ledger) -> None:
    push(ledger)
    said = answer("job", "failed", job_id="j1", rev=1, code="requirement", state="rejected")
    hear(ledger, message("up/results", said))
    assert state_of(ledger) == "rejected"


def test_a_replaced_revision_never_comes_back(ledger: Ledger) -> None:
    push(ledger)
    push(ledger, rev=2)
    hear(ledger, message("up/events", batch(record(1, type="job", job="j1", rev=2, state="completed"))))
    assert due(ledger)["down/want"][0]["jobs"] == []


def test_a_complaint_nobody_can_place_is_told_not_lost(ledger: Ledger) -> None:
    (refusal,) = hear(
        ledger, message("up/results", answer("job", "failed", code="unsigned", detail="not signed"))
    )
    assert "not signed" in refusal.problem


def test_a_duplicate_tells_the_state_but_never_overrules_records(ledger: Ledger) -> None:
    push(ledger)
    hear(ledger, message("up/results", answer("job", "duplicate", job_id="j1", rev=1, state="printing")))
    assert state_of(ledger) == "printing"
    hear(ledger, message("up/events", batch(record(1, type="job", job="j1", rev=1, state="completed"))))
    hear(ledger, message("up/results", answer("job", "duplicate", job_id="j1", rev=1, state="printing")))
    assert state_of(ledger) == "completed"


def test_the_newest_revision_is_wanted(ledger: Ledger) -> None:
    push(ledger)
    push(ledger, rev=2)
    assert due(ledger)["down/want"][0]["jobs"] == [{"job_id": "j1", "rev": 2}]


def test_late_jobs_and_commands_are_never_sent(ledger: Ledger) -> None:
    push(ledger, expires_ms=NOW + 100)
    command(ledger, expires_ms=NOW + 100)
    told = due(ledger, now_ms=NOW + 100)
    assert not told.keys() & {"down/jobs", "down/commands"}
    assert told["down/want"][0]["jobs"] == []
    assert state_of(ledger) == "expired"
    assert orders.command_answer(ledger.reading, "k1")[0] == "late"


def test_messages_die_at_the_broker_when_their_time_is_over(ledger: Ledger) -> None:
    push(ledger, expires_ms=NOW + 1500)
    command(ledger)
    assert {one.expiry_s for one in send(ledger) if one.mark} == {2, 5}


def test_a_command_is_followed_to_its_last_word(ledger: Ledger) -> None:
    command(ledger)
    assert orders.command_answer(ledger.reading, "k1") == ("waiting", None)
    hear(ledger, message("up/results", answer("command", "accepted", cmd_id="k1")))
    assert orders.command_answer(ledger.reading, "k1")[0] == "accepted"
    hear(ledger, message("up/results", answer("command", "done", cmd_id="k1")))
    hear(ledger, message("up/results", answer("command", "accepted", cmd_id="k1")))
    assert orders.command_answer(ledger.reading, "k1")[0] == "done"
    hear(ledger, message("up/results", answer("command", "failed", "unit-other", cmd_id="k1"), "unit-other"))
    assert orders.command_answer(ledger.reading, "k1")[0] == "done", "another unit cannot answer for it"


def test_a_late_will_does_not_bury_the_living(ledger: Ledger) -> None:
    hear(ledger, message("state/presence", presence(connect=5)))
    hear(ledger, message("state/presence", presence("lost", connect=4)))
    hear(ledger, message("state/presence", presence("lost", connect=9, epoch="another-life")))
    assert units.all_units(ledger.reading)[0].presence == "online"
    hear(ledger, message("state/presence", presence("lost", connect=5)))
    assert units.all_units(ledger.reading)[0].presence == "lost"
    hear(ledger, message("state/presence", presence(connect=1, epoch="e2")))
    assert units.all_units(ledger.reading)[0].epoch == "e2"


def test_after_a_reconnection_everything_is_said_again(ledger: Ledger) -> None:
    hear(ledger, message("up/events", batch(record(1))))
    push(ledger)
    send(ledger)
    with ledger.transaction() as connection:
        protocol.connected(connection)
    assert due(ledger).keys() == {"down/ack", "down/want"}


@pytest.mark.parametrize(
    ("tail", "document"),
    [
        ("up/events", b"\xff\xfe"),
        ("up/events", b"{}"),
        ("up/events", b"[" * 100_000),
        ("up/events", batch(record(1), unit="unit-other")),
        ("up/events", batch(record(0))),
        ("up/events", batch(record(2**60))),
        ("up/events", batch(*(record(n) for n in range(1, 202)))),
        ("up/results", answer("command", "done", "unit-other", cmd_id="k1")),
        ("up/results", answer("command", "perhaps")),
        ("up/live", {"v": 1}),
        ("state/presence", presence("asleep")),
        ("state/presence", presence(unit="unit-other")),
        ("state/unit", {"v": 1, "unit": UNIT}),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(ledger: Ledger, tail: str, document: Any) -> None:
    (refusal,) = hear(ledger, message(tail, document))
    assert refusal.problem
    assert not ledger.reading.execute("SELECT * FROM records").fetchall()
    assert not units.all_units(ledger.reading)


@pytest.mark.parametrize(
    "topic", ["fabunit/v1/X/up/events", "fabunit/v1/unit-7f3a/up/other", "x", "fabunit/v2/a/b"]
)
def test_foreign_topics_are_ignored(ledger: Ledger, topic: str) -> None:
    assert hear(ledger, Arrived(topic, b"{}")) == []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tail=st.sampled_from(["up/events", "up/live", "up/results", "state/presence", "state/unit"]),
    payload=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["v", "unit", "records", "seq", "epoch", "kind", "status", "state", "t"]),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_no_payload_stops_the_coordinator(ledger: Ledger, tail: str, payload: bytes) -> None:
    hear(ledger, message(tail, payload))
    assert not ledger.reading.execute("SELECT * FROM records").fetchall()
