"""The session's connections: deadlines, waits, several brokers, second clients, leases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.coordinator import backoff
from agent.coordinator.backoff import Backoff
from agent.coordinator.effects import Connect, Drop, Effect, Load, Publish
from agent.coordinator.messages import Closed, CloseKind, Connack, Message
from agent.coordinator.outgoing import FORBIDDEN_RETRY_S, Outgoing
from agent.coordinator.session import (
    CONNACK_TIMEOUT_S,
    MAX_LEASE_S,
    MAX_QUEUED,
    SHORT_LIVES,
    SILENT_S,
    SUBACK_TIMEOUT_S,
    Phase,
    Session,
)
from tests.unit.coordinator.session_world import STREAM, TOPICS

LOST = Closed(CloseKind.LOST)


def fresh(addresses: int = 1) -> Session:
    return Session(TOPICS, [Outgoing(STREAM)], addresses)


def bring_online(session: Session, now: float, broker: Connack | None = None) -> list[Effect]:
    session.connected(session.attempt, broker or Connack(), now)
    session.subscribed(session.attempt, [1], now, 0.5)
    return session.announced(
        session.attempt, Message(TOPICS.presence, b"1"), Message(TOPICS.description, b"1"), now
    )


def again(session: Session, jitter: float = 0.5) -> float:
    """Let the wait end and return when that was."""
    moment = session.deadline()
    assert moment is not None
    assert [type(effect) for effect in session.on_deadline(moment, jitter)] == [Connect]
    return moment


def test_the_first_connection_is_made_at_once() -> None:
    assert fresh().start(0.0) == [Connect(1, 0)]


@pytest.mark.parametrize("stage", ["connack", "suback"])
def test_a_stalled_broker_is_noticed_by_our_own_timer(stage: str) -> None:
    """Trap 13: connect() returns before CONNACK."""
    session = fresh()
    session.start(0.0)
    timeout_s = CONNACK_TIMEOUT_S
    if stage == "suback":
        session.connected(1, Connack(), 0.0)
        timeout_s = min(SUBACK_TIMEOUT_S, SILENT_S)
    assert session.deadline() == timeout_s
    assert session.on_deadline(timeout_s, 0.5)[0] == Drop(1)
    assert session.phase is Phase.WAITING


def test_it_never_gives_up_and_never_waits_longer_than_two_minutes() -> None:
    session, now = fresh(), 0.0
    session.start(now)
    waits = []
    for _ in range(1_000):
        session.closed(session.attempt, Closed(CloseKind.TCP), now, 0.999)
        moment = again(session)
        waits.append(moment - now)
        now = moment
    assert waits[0] < 6
    assert max(waits) <= backoff.MOST_S + backoff.LEAST_S
    assert session.phase is Phase.CONNECTING


@given(st.floats(0, 1), st.integers(0, 5_000))
def test_the_wait_has_full_jitter(jitter: float, failures: int) -> None:
    """Trap 11: without jitter 10,000 units come back in the same second."""
    some = Backoff(failures=failures)
    wait_s = some.delay_s(jitter)
    assert backoff.LEAST_S <= wait_s <= backoff.LEAST_S + backoff.MOST_S
    assert wait_s == pytest.approx(
        backoff.LEAST_S + jitter * min(backoff.MOST_S, 5.0 * 2.0 ** min(failures, 16))
    )


def test_ten_thousand_units_spread() -> None:
    import random

    rng = random.Random(1)
    seconds = [0] * 400
    for _ in range(10_000):
        wait, at = Backoff(failures=5), 0.0
        at += wait.delay_s(rng.random())
        seconds[int(at)] += 1
    assert max(seconds) < 250


def test_only_a_stable_minute_resets_the_wait() -> None:
    session, now, failures = fresh(), 0.0, 0
    session.start(now)
    for lived_s in (1.0, 1.0, 59.0, 61.0):
        bring_online(session, now)
        now += lived_s
        session.closed(session.attempt, LOST, now, 1.0)
        failures = session._backoff.failures
        now = again(session)
    assert failures == 1, "after the stable minute the loss counts as the first"


def test_several_brokers_are_tried_in_turn_and_kept_while_they_work() -> None:
    session, now, tried = fresh(addresses=3), 0.0, [0]
    session.start(now)
    for _ in range(4):
        session.closed(session.attempt, Closed(CloseKind.TCP), now, 0.1)
        moment = session.deadline()
        assert moment is not None
        effect = session.on_deadline(moment, 0.1)[0]
        assert isinstance(effect, Connect)
        tried.append(effect.address)
        now = moment
    assert tried == [0, 1, 2, 0, 1]
    bring_online(session, now)
    session.closed(session.attempt, LOST, now + 100, 0.1)
    assert session.address == 1, "a broker that worked is tried first"


def test_a_second_client_with_our_id_is_met_with_patience() -> None:
    """Trap 10, as brokers tell it that name the reason."""
    session = fresh()
    session.start(0.0)
    bring_online(session, 0.0)
    session.closed(1, Closed(CloseKind.TAKEN_OVER, "taken"), 1.0, 0.0)
    assert again(session) >= 1.0 + 300
    assert session.last_close is not None
    assert session.last_close.kind is CloseKind.TAKEN_OVER


def test_a_second_client_is_recognised_by_short_lives() -> None:
    """Trap 10, as mosquitto 2.0.11 tells it: not at all."""
    session, now, wait, last = fresh(), 0.0, 0.0, LOST
    session.start(now)
    for _ in range(SHORT_LIVES):
        bring_online(session, now)
        now += 1.0
        session.closed(session.attempt, LOST, now, 0.0)
        last = session.last_close or last
        moment = again(session)
        wait, now = moment - now, moment
    assert wait >= 300
    assert "SD card" in last.remedy


def test_a_silent_thread_is_replaced() -> None:
    """Trap 4: a dead network thread still says that it is connected."""
    session = fresh()
    session.start(0.0)
    bring_online(session, 0.0)
    session.beat(1, 5.0)
    assert session.on_deadline(5.0 + SILENT_S - 0.1, 0.5) == []
    effects = session.on_deadline(5.0 + SILENT_S, 0.5)
    assert effects[0] == Drop(1)
    assert session.last_close is not None
    assert session.last_close.kind is CloseKind.SILENT


def test_an_old_connection_has_no_say() -> None:
    session = fresh()
    session.start(0.0)
    session.closed(1, LOST, 0.0, 0.0)
    again(session)
    for effects in (
        session.connected(1, Connack(), 1.0),
        session.subscribed(1, [1], 1.0, 0.5),
        session.published(1, 1, 0, 1.0),
        session.closed(1, LOST, 1.0, 0.5),
    ):
        assert effects == []
    assert session.phase is Phase.CONNECTING


def test_a_refused_subscription_is_said() -> None:
    session = fresh()
    session.start(0.0)
    session.connected(1, Connack(), 0.0)
    session.subscribed(1, [0x87], 0.0, 0.5)
    assert session.last_close is not None
    assert session.last_close.kind is CloseKind.FORBIDDEN
    assert "down/#" in session.last_close.remedy


def test_a_forbidden_topic_loses_no_records() -> None:
    """Trap 7: PUBACK 0x87. The records wait, and the status says why."""
    session = fresh()
    session.start(0.0)
    bring_online(session, 0.0)
    stream = session.streams[STREAM]
    load = session.appended(STREAM, 1, 0.0)[-1]
    assert isinstance(load, Load)
    from agent.coordinator.messages import Loaded, Ready

    publish = session.loaded(Loaded(STREAM, 0, 1, [Ready("e", 1, b"{}")], {"e": 1}), 0.0)[0]
    assert isinstance(publish, Publish)
    session.published(1, publish.token, 0x87, 0.0)
    assert stream.acked == 0
    assert "access list" in stream.problem
    assert stream.wants(FORBIDDEN_RETRY_S - 1) == 0
    session.on_deadline(FORBIDDEN_RETRY_S, 0.5)
    assert stream.backlog == 1


def test_a_forbidden_topic_is_not_hammered_by_reconnecting() -> None:
    """mosquitto 2.0.11 answers a forbidden publish and cuts the connection."""
    stream = Outgoing(STREAM, newest=1)
    from agent.coordinator.messages import Loaded, Ready
    from agent.coordinator.outgoing import Batch

    batch = stream.cut(Loaded(STREAM, 0, 1, [Ready("e", 1, b"{}")], {}), 1000, 0.0)
    assert isinstance(batch, Batch)
    stream.sent(1, batch, 0.0)
    stream.published(1, 0x87, 0.0)
    stream.disconnected()
    assert stream.wants(10.0) == 0
    assert stream.wants(FORBIDDEN_RETRY_S + 1) > 0


def test_answers_wait_for_the_link_and_the_oldest_give_way() -> None:
    session = fresh()
    for number in range(500):
        assert session.answer(Message(TOPICS.results, b"%d" % number), 0.0) == []
    session.start(0.0)
    effects = bring_online(session, 0.0, Connack(receive_maximum=65_535))
    sent = [effect.message.payload for effect in effects if isinstance(effect, Publish)]
    assert sent[2] == b"%d" % (500 - MAX_QUEUED)


def test_a_lease_ends_and_outlives_a_reconnection() -> None:
    session = fresh()
    assert session.grant_live(10_000, 0.0) == MAX_LEASE_S
    session.start(0.0)
    assert session.live(Message(TOPICS.live, b"", qos=0), 1.0) == [], "offline"
    bring_online(session, 1.0)
    assert len(session.live(Message(TOPICS.live, b"", qos=0), 2.0)) == 1
    session.closed(1, LOST, 3.0, 0.0)
    again(session)
    bring_online(session, 5.0)
    assert len(session.live(Message(TOPICS.live, b"", qos=0), 6.0)) == 1
    assert session.live(Message(TOPICS.live, b"", qos=0), MAX_LEASE_S) == []
    assert session.grant_live(0, 7.0) == 0
    assert not session.is_watched(8.0)


def test_the_broker_window_holds_for_everything_that_is_answered() -> None:
    """Trap 3: Receive Maximum counts births and answers, too."""
    session = fresh()
    for number in range(30):
        session.answer(Message(TOPICS.results, b"%d" % number), 0.0)
    session.start(0.0)
    effects = bring_online(session, 0.0, Connack(receive_maximum=3))
    tokens = [effect.token for effect in effects if isinstance(effect, Publish)]
    assert len(tokens) == 3
    more = session.published(1, tokens[0], 0, 0.0)
    assert len([effect for effect in more if isinstance(effect, Publish)]) == 1


def test_of_several_descriptions_only_the_newest_is_sent() -> None:
    session = fresh()
    session.start(0.0)
    effects = bring_online(session, 0.0, Connack(receive_maximum=2))
    tokens = [effect.token for effect in effects if isinstance(effect, Publish)]
    for number in range(10):
        assert session.keep(Message(TOPICS.description, b"%d" % number), 0.0) == []
    sent = session.published(1, tokens[0], 0, 0.0)[0]
    assert isinstance(sent, Publish)
    assert sent.message.payload == b"9"


def test_an_oversize_description_is_left_out_and_said() -> None:
    session = fresh()
    session.start(0.0)
    bring_online(session, 0.0, Connack(max_packet_bytes=500))
    assert session.keep(Message(TOPICS.description, b"x" * 600), 0.0) == []
    assert "too large" in session.problem


def test_a_stop_says_goodbye_first() -> None:
    session = fresh()
    session.start(0.0)
    bring_online(session, 0.0)
    farewell = Message(TOPICS.presence, b"bye")
    publish, drop = session.stop(farewell)
    assert isinstance(publish, Publish)
    assert drop == Drop(1, is_orderly=True)
    assert session.deadline() is None
    assert session.stop(farewell) == []
