"""A unit, a lossy broker and a coordinator around the pure session: nothing but values and a clock of their own."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import dataclass, field

from agent.coordinator.effects import Announce, Connect, Drop, Effect, Load, Omit, Publish, Subscribe
from agent.coordinator.messages import Closed, CloseKind, Connack, Loaded, Message, Ready
from agent.coordinator.outgoing import Outgoing
from agent.coordinator.session import Session
from agent.coordinator.topics import Topics

EPOCH = "e1"
STREAM = "up/events"
TOPICS = Topics("unit-1")


@dataclass(slots=True)
class Wire:
    """A publish under way: lost if the connection breaks first, or if the broker forgets it."""

    attempt: int
    token: int
    message: Message


@dataclass(slots=True)
class World:
    """Drives a session; `rng` decides what the network does."""

    rng: random.Random
    receive_maximum: int = 20
    max_packet_bytes: int | None = None
    size_bytes: int = 60
    now: float = 0.0
    rows: dict[int, bytes] = field(default_factory=dict)
    omitted: dict[int, str] = field(default_factory=dict)
    acked_at_unit: int = 0
    coordinator: set[int] = field(default_factory=set)
    received: list[int] = field(default_factory=list)
    contiguous: int = 0
    is_coordinator_up: bool = True
    wires: list[Wire] = field(default_factory=list)
    acks: list[int] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    in_flight: set[int] = field(default_factory=set)
    most_in_flight: int = 0
    topics: list[str] = field(default_factory=list)
    session: Session = field(init=False)
    connected: int | None = None
    dialled: int | None = None
    announce: int | None = None

    def __post_init__(self) -> None:
        self.session = Session(TOPICS, [Outgoing(STREAM)])

    def apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Connect(attempt, _):
                    self.dialled = attempt
                case Drop():
                    self._cut()
                case Subscribe(attempt):
                    self.apply(self.session.subscribed(attempt, [1], self.now, 0.5))
                case Announce(attempt):
                    self.announce = attempt
                case Publish(attempt, token, message):
                    self._sent(attempt, token, message)
                case Load() as load:
                    self.loads.append(load)
                case Omit(stream, seq, reason):
                    assert seq not in self.omitted, "left out twice"
                    self.omitted[seq] = reason
                    self.rows[seq] = b'{"seq":%d,"omitted":"x"}' % seq
                    self.apply(self.session.omitted(stream, self.now))

    def _sent(self, attempt: int, token: int, message: Message) -> None:
        assert attempt == self.connected
        self.topics.append(message.topic)
        if self.max_packet_bytes is not None:
            assert message.size_bytes <= self.max_packet_bytes
        if message.qos:
            self.in_flight.add(token)
            self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
            self.wires.append(Wire(attempt, token, message))

    def _cut(self) -> None:
        self.connected = self.dialled = self.announce = None
        self.wires.clear()
        self.in_flight.clear()

    # What can happen

    def append(self, count: int = 1) -> None:
        for _ in range(count):
            seq = len(self.rows) + 1
            filler = "x" * self.rng.randrange(self.size_bytes)
            self.rows[seq] = json.dumps({"seq": seq, "d": filler}).encode()
        self.apply(self.session.appended(STREAM, len(self.rows), self.now))

    def connect(self) -> None:
        if self.dialled is not None:
            self.connected, self.dialled = self.dialled, None
            self.topics.clear()
            broker = Connack(receive_maximum=self.receive_maximum, max_packet_bytes=self.max_packet_bytes)
            self.apply(self.session.connected(self.connected, broker, self.now))

    def birth(self) -> None:
        if self.announce is not None:
            attempt, self.announce = self.announce, None
            birth, unit = Message(TOPICS.presence, b"{}"), Message(TOPICS.description, b"{}")
            self.apply(self.session.announced(attempt, birth, unit, self.now))

    def cut(self) -> None:
        attempt = self.connected or self.dialled
        if attempt is not None:
            self.apply(self.session.closed(attempt, Closed(CloseKind.LOST), self.now, self.rng.random()))

    def load(self) -> None:
        if self.loads:
            load = self.loads.pop(self.rng.randrange(len(self.loads)))
            seqs = [seq for seq in sorted(self.rows) if seq > load.after][: load.limit]
            records = [Ready(EPOCH, seq, self.rows[seq]) for seq in seqs]
            loaded = Loaded(load.stream, load.after, len(self.rows), records, {EPOCH: load.acked + 1})
            self.apply(self.session.loaded(loaded, self.now))

    def deliver(self, *, is_lost: bool = False) -> None:
        """The broker takes the oldest publish, answers it, and passes it on unless it forgets it."""
        if not self.wires:
            return
        wire = self.wires.pop(0)
        self.in_flight.discard(wire.token)
        code = 0
        if wire.message.topic == TOPICS.events:
            if not self.is_coordinator_up:
                code = 0x10
            elif not is_lost:
                self._arrive(wire.message)
        self.apply(self.session.published(wire.attempt, wire.token, code, self.now))

    def _arrive(self, message: Message) -> None:
        payload = message.payload
        body = json.loads(zlib.decompress(payload) if payload[:1] == b"x" else payload)
        seqs = [record["seq"] for record in body["records"]]
        assert seqs == sorted(seqs)
        assert len(seqs) <= 200
        self.received += seqs
        self.coordinator |= set(seqs)
        if body["first"] > self.contiguous + 1:
            # What a coordinator does: nothing below that number will come any more.
            assert all(seq in self.coordinator for seq in range(1, body["first"])), "a gap that hides a loss"
        while self.contiguous + 1 in self.coordinator:
            self.contiguous += 1
        self.acks.append(self.contiguous)

    def ack(self, *, is_lost: bool = False, is_doubled: bool = False) -> None:
        if self.acks and self.connected is not None:
            upto = self.acks[0] if is_doubled else self.acks.pop(0)
            if not is_lost:
                self.acked_at_unit = max(self.acked_at_unit, upto)
                self.apply(self.session.acknowledged(STREAM, upto, self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.session.beat(self.session.attempt, self.now)
        deadline = self.session.deadline()
        if deadline is not None and self.now >= deadline:
            self.apply(self.session.on_deadline(self.now, self.rng.random()))

    def settle(self) -> None:
        """Let everything that is under way arrive, with nothing lost any more; at most four hours."""
        self.is_coordinator_up = True
        for _ in range(4000):
            self.connect()
            self.birth()
            for _ in range(20):
                self.load()
                self.deliver()
                self.ack()
            if self.session.streams[STREAM].acked == len(self.rows):
                return
            self.wait(5.0)
