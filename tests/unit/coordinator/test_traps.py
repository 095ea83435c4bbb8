"""Traps of paho-mqtt 2 and of real brokers, each with its outcome; 10, 11 and 13 also in test_session.

1 queue in memory, 2 publishing while offline, 3 window after a reconnection, 4 exceptions in callbacks, 5 PUBACK before
the work is done, 6 locks and callbacks, 7 reason codes, 8 MQTT 3.1.1, 9 oversize messages, 10 one client id twice,
11 no jitter, 12 a slow end, 13 connect() before CONNACK, 14 Nagle.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.coordinator import session as session_module
from agent.coordinator.broker_address import parse_address
from agent.coordinator.client import BrokerClient, Credentials
from agent.coordinator.messages import CloseKind, Message
from agent.coordinator.network import Connected, Ended, NetworkEvent, Published, Received, Subscribed
from agent.coordinator.session import MAX_WINDOW
from agent.domain.events import EventDraft, EventType
from tests.unit.coordinator.bench import TOPICS, Bench, bench, job_payload, until
from tests.unit.coordinator.broker import Broker
from tests.unit.coordinator.conftest import StartBroker
from tests.unit.coordinator.desk import Desk

WILL = Message(TOPICS.presence, b"{}", retain=True)
WITHIN_S = 10.0


class Line:
    """One client on its own, its events in a queue."""

    def __init__(
        self, url: str, client_id: str = "unit-1", post: Callable[[NetworkEvent], None] | None = None
    ) -> None:
        self.events: queue.Queue[NetworkEvent] = queue.Queue()
        self.client = BrokerClient(
            1, parse_address(url), Credentials(client_id), WILL, post or self.events.put
        )
        self.client.start()

    def expect(self, kind: type[Any]) -> Any:
        deadline = time.monotonic() + WITHIN_S
        while True:
            event = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            if isinstance(event, kind):
                return event

    def close(self) -> None:
        self.client.drop()
        assert self.client.join(5.0)


@pytest.fixture
def dial() -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(url: str, **options: Any) -> Line:
        lines.append(Line(url, **options))
        return lines[-1]

    yield make
    for line in lines:
        line.client.drop()
        line.client.join(5.0)


@asynccontextmanager
async def linked(folder: Path, broker: Broker, **settings: Any) -> AsyncIterator[Bench]:
    """Yield a bench whose link really talks to the broker, online."""
    state = folder / "state"
    async with bench(state, url=broker.url, real=True, **settings) as made:
        await made.online()
        yield made


async def notes(made: Bench, count: int, size: int = 10) -> None:
    for number in range(count):
        await made.queue.record(EventDraft(EventType.UNIT, f"note {number}", data={"d": "x" * size}))


def waiting(made: Bench) -> int:
    return int((made.coordinator.status() or {})["events_waiting"])


async def test_1_nothing_piles_up_in_paho(tmp_path: Path, start_broker: StartBroker) -> None:
    """Outcome: with a stalled broker at most one window of messages has left the database."""
    broker = start_broker()
    async with linked(tmp_path, broker) as made:
        desk = await Desk(broker.url).ready()
        broker.freeze()
        await notes(made, 600, size=600)
        session = made.coordinator._link._session  # type: ignore[union-attr]
        stream = session.streams["up/events"]
        await until(lambda: stream.cursor == 600 or len(session._open_tokens) >= MAX_WINDOW)
        assert 0 < len(session._open_tokens) <= MAX_WINDOW
        broker.thaw()
        await until(lambda: waiting(made) == 0, "not all records arrived", 40)
        desk.close()


async def test_2_nothing_is_given_to_a_client_that_is_not_connected(tmp_path: Path) -> None:
    """Outcome: without a connection records stay where they are."""
    async with bench(tmp_path) as made:
        made.network.is_automatic = False
        made.running = asyncio.create_task(made.coordinator.run())
        await notes(made, 100)
        await until(lambda: made.network.clients)
        assert made.network.last.sent == []
        assert waiting(made) >= 0


async def test_3_the_brokers_window_holds_also_after_reconnections(
    tmp_path: Path, start_broker: StartBroker
) -> None:
    """Outcome: a broker with room for two never gets a third; nothing is lost when it is killed in between."""
    broker = start_broker("allow_anonymous true", "max_inflight_messages 2")
    async with linked(tmp_path, broker) as made:
        session = made.coordinator._link._session  # type: ignore[union-attr]
        assert session._broker.receive_maximum == 2
        desk = await Desk(broker.url).ready()
        await notes(made, 300)
        await until(lambda: desk.contiguous > 20)
        broker.kill()
        desk.close()
        broker.start()
        again = await Desk(broker.url).ready()
        again.contiguous = desk.contiguous
        await notes(made, 300)
        # Not by what the link says is waiting: it hears of the last record a moment after the database has it.
        everything = set(range(1, 601))
        await until(lambda: everything <= set(desk.seen) | set(again.seen), "not all records arrived", 40)
        await until(lambda: waiting(made) == 0, "not everything was acknowledged")
        log = (broker.folder / "mosquitto.log").read_text()
        assert "eceive maximum" not in log
        again.close()


def test_4_an_exception_in_a_callback_ends_the_thread_loudly(
    start_broker: StartBroker, dial: Callable[..., Line]
) -> None:
    """Outcome: the connection is reported as ended, so that the session makes a new one."""
    broker = start_broker()
    events: queue.SimpleQueue[NetworkEvent] = queue.SimpleQueue()

    def post(event: NetworkEvent) -> None:
        events.put(event)
        if isinstance(event, Received):
            raise RuntimeError("a bug")  # noqa: TRY004 - no wrong type, just any exception

    line = dial(broker.url, post=post)
    other = dial(broker.url, client_id="other")
    other.expect(Connected)
    assert isinstance(events.get(timeout=WITHIN_S), Connected)
    line.client.subscribe(TOPICS.down)
    assert isinstance(events.get(timeout=WITHIN_S), Subscribed)
    other.client.publish(1, Message(TOPICS.jobs, b"x"))
    assert isinstance(events.get(timeout=WITHIN_S), Received)
    ended = events.get(timeout=WITHIN_S)
    assert isinstance(ended, Ended)
    assert "a bug" in ended.why.detail
    assert line.client.join(5.0)


def test_5_what_was_not_put_on_disk_is_delivered_again(
    start_broker: StartBroker, dial: Callable[..., Line]
) -> None:
    """Outcome: without our acknowledgement the broker keeps the order for the next connection."""
    broker = start_broker()
    first = dial(broker.url)
    first.expect(Connected)
    first.client.subscribe(TOPICS.down)
    first.expect(Subscribed)
    other = dial(broker.url, client_id="other")
    other.expect(Connected)
    other.client.publish(1, Message(TOPICS.jobs, b"order"))
    assert first.expect(Received).message.payload == b"order"
    first.close()
    second = dial(broker.url)
    assert second.expect(Connected).broker.session_present
    received = second.expect(Received).message
    assert received.payload == b"order"
    second.client.acknowledge(received.ack)
    second.client.leave()
    second.expect(Ended)
    third = dial(broker.url)
    third.expect(Connected)
    other.client.publish(2, Message(TOPICS.jobs, b"next"))
    assert third.expect(Received).message.payload == b"next", "what was acknowledged does not come again"


def test_6_publishing_under_a_lock_of_the_callbacks(
    start_broker: StartBroker, dial: Callable[..., Line]
) -> None:
    """Outcome: no deadlock: publishing only queues, and callbacks run with none of our locks held by paho's thread."""
    broker = start_broker()
    lock = threading.Lock()
    published: queue.Queue[int] = queue.Queue()

    def post(event: NetworkEvent) -> None:
        with lock:
            if isinstance(event, Published):
                published.put(event.token)
            elif isinstance(event, Connected):
                published.put(-1)

    line = dial(broker.url, post=post)
    assert published.get(timeout=WITHIN_S) == -1
    for token in range(2_000):
        with lock:
            line.client.publish(token, Message(TOPICS.events, b"x" * 100))
        if token % 20 == 19:
            assert [published.get(timeout=WITHIN_S) for _ in range(20)] == list(range(token - 19, token + 1))


async def test_7_a_forbidden_topic_keeps_the_records_and_says_so(
    tmp_path: Path, start_broker: StartBroker
) -> None:
    """Outcome: nothing is lost or hammered; the status names the access list."""
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite {TOPICS.down}\ntopic readwrite fabunit/v1/unit-1/state/#\n")
    acl.chmod(0o644)
    broker = start_broker("allow_anonymous true", f"acl_file {acl}")
    async with linked(tmp_path, broker) as made:
        await notes(made, 5)
        session = made.coordinator._link._session  # type: ignore[union-attr]
        stream = session.streams["up/events"]
        await until(lambda: "access list" in stream.problem)
        await until(lambda: waiting(made) == 5)
        assert stream.wants(time.monotonic() + 60) == 0


async def test_7b_records_that_reach_nobody_are_not_gone(tmp_path: Path, start_broker: StartBroker) -> None:
    """Outcome: PUBACK 0x10 counts as not delivered; the coordinator gets all when it comes and says hello."""
    broker = start_broker()
    async with linked(tmp_path, broker) as made:
        await notes(made, 50)
        session = made.coordinator._link._session  # type: ignore[union-attr]
        await until(lambda: "no coordinator" in session.streams["up/events"].problem)
        desk = await Desk(broker.url).ready()
        desk.send(TOPICS.ack, {"epoch": made.coordinator._shelf.epoch, "upto": 0})
        await until(lambda: waiting(made) == 0)
        assert set(desk.seen) == set(range(1, 51))
        desk.close()


def test_8_only_mqtt_5_is_spoken() -> None:
    """Outcome: the CONNECT packet has protocol level 5, never clean start, always a session expiry."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        line = Line(f"mqtt://127.0.0.1:{port}")
        server.settimeout(WITHIN_S)
        connection, _ = server.accept()
        connection.settimeout(WITHIN_S)
        packet = connection.recv(1000)
        connection.close()
        assert packet[0] == 0x10
        name = packet.index(b"\x00\x04MQTT")
        assert packet[name + 6] == 5
        flags = packet[name + 7]
        assert flags & 0x02 == 0, "clean start"
        assert flags & 0x24 == 0x24, "will, retained"
        assert b"\x11\x00\x09\x3a\x80" in packet, "session expiry of seven days"
        assert line.expect(Ended).why.kind is CloseKind.LOST
        line.close()


async def test_9_a_record_the_broker_cannot_take_does_not_stop_the_others(
    tmp_path: Path, start_broker: StartBroker
) -> None:
    """Outcome: its number arrives with the reason, everything else arrives as it is."""
    broker = start_broker("allow_anonymous true", "max_packet_size 6000")
    async with linked(tmp_path, broker) as made:
        desk = await Desk(broker.url).ready()
        session = made.coordinator._link._session  # type: ignore[union-attr]
        assert session._broker.max_packet_bytes == 6000
        await notes(made, 3)
        await notes(made, 1, size=20_000)
        await notes(made, 3)
        await until(lambda: waiting(made) == 0)
        await until(lambda: set(desk.seen) >= set(range(1, 9)))  # the omission is an event of its own
        assert len(desk.seen) == 8
        desk.close()


def test_10_a_second_client_ends_the_first(start_broker: StartBroker, dial: Callable[..., Line]) -> None:
    """Outcome: the first one notices at once; the session then waits (test_session)."""
    broker = start_broker()
    first = dial(broker.url)
    first.expect(Connected)
    second = dial(broker.url)
    second.expect(Connected)
    assert first.expect(Ended).why.kind in (CloseKind.LOST, CloseKind.TAKEN_OVER)


async def test_12_the_end_is_quick_with_a_stalled_broker(tmp_path: Path, start_broker: StartBroker) -> None:
    """Outcome: the daemon's end waits for a farewell a second and a half at most."""
    broker = start_broker()
    async with linked(tmp_path, broker) as made:
        broker.freeze()
        await notes(made, 50)
        began = time.monotonic()
        await made.end()
        assert time.monotonic() - began < 4.0
        broker.thaw()


async def test_13_a_broker_that_never_answers_is_left(
    tmp_path: Path, start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcome: our own timer ends an attempt that TCP took and MQTT did not answer."""
    monkeypatch.setattr(session_module, "CONNACK_TIMEOUT_S", 1.0)
    broker = start_broker()
    broker.freeze()
    async with bench(tmp_path / "state", url=broker.url, real=True) as made:
        made.running = asyncio.create_task(made.coordinator.run())
        await until(lambda: (made.coordinator.status() or {})["kind"] == "timeout")
        assert not made.is_online()
        broker.thaw()
        await until(made.is_online, "no second attempt", 20)
        assert (made.coordinator.status() or {})["state"] == "online"


def test_14_small_messages_do_not_wait_for_each_other(
    start_broker: StartBroker, dial: Callable[..., Line]
) -> None:
    """Outcome: TCP_NODELAY is set; 100 round trips take no 40 ms each."""
    broker = start_broker()
    line = dial(broker.url)
    line.expect(Connected)
    began = time.monotonic()
    for token in range(100):
        line.client.publish(token, Message(TOPICS.events, b"x"))
        line.expect(Published)
    assert time.monotonic() - began < 2.0


async def test_a_late_will_does_not_bury_a_living_unit(tmp_path: Path, start_broker: StartBroker) -> None:
    """Outcome: a will names the connection it belongs to; after a reconnection that number is an old one."""
    broker = start_broker()
    async with linked(tmp_path, broker) as made:
        desk = await Desk(broker.url).ready()
        await until(lambda: TOPICS.presence in desk.retained)
        link = made.coordinator._link
        assert link is not None
        first = next(iter(link._clients.values()))
        first.drop()
        await until(lambda: link._session.attempt == 2 and made.is_online())
        await until(lambda: b'"connect":1000002' in desk.retained[TOPICS.presence])
        assert b'"state":"online"' in desk.retained[TOPICS.presence]
        desk.close()


async def test_orders_and_stop_over_a_real_broker(tmp_path: Path, start_broker: StartBroker) -> None:
    broker = start_broker()
    async with linked(tmp_path, broker) as made:
        desk = await Desk(broker.url).ready()
        desk.send(TOPICS.jobs, job_payload())
        await until(lambda: desk.answers)
        assert (desk.answers[0]["status"], desk.answers[0]["job_id"]) == ("accepted", "order-1")
        content = {"v": 1, "cmd_id": "s1", "command": "stop", "expires": made.clock.t_ms + 9000}
        desk.send(TOPICS.commands, content)
        await until(lambda: made.printer.calls == [("stop",)])
        desk.close()
