"""A printer, a clock and a network for tests of the coordinator side."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from agent.coordinator.broker_address import BrokerAddress
from agent.coordinator.link import Post
from agent.coordinator.messages import Closed, CloseKind, Connack, Incoming, Message
from agent.coordinator.network import Connected, Ended, Published, Received, Subscribed
from agent.domain.errors import RefusedError
from agent.domain.events import ClockState, Stamp
from agent.domain.job import Reason
from agent.domain.printer import PrinterSnapshot, PrinterState, Temperature

BOOT = "b1"
START_MS = 1_800_000_000_000


class FakeClock:
    """Wall and monotonic time that tests move."""

    def __init__(self) -> None:
        self.t_ms = START_MS
        self.mono_ms = 1_000_000
        self.boot = BOOT
        self.clk = ClockState.SYNC

    def stamp(self) -> Stamp:
        return Stamp(self.t_ms, self.mono_ms, self.boot, self.clk)

    def advance(self, seconds: float) -> None:
        self.t_ms += round(seconds * 1000)
        self.mono_ms += round(seconds * 1000)


@dataclass
class FakePrinter:
    """Remembers what it was asked; refuses what a real one refuses."""

    state: PrinterState = PrinterState.IDLE
    calls: list[tuple[object, ...]] = field(default_factory=list)
    temperatures: dict[str, Temperature] = field(default_factory=lambda: {"T0": Temperature(24.0)})

    def snapshot(self) -> PrinterSnapshot:
        return PrinterSnapshot(state=self.state, temperatures=self.temperatures)

    async def pause(self, reason: Reason | None = Reason.USER, detail: str = "") -> None:
        self._demand_printing()
        self.calls.append(("pause", reason))
        self.state = PrinterState.PAUSED

    async def resume(self) -> None:
        self.calls.append(("resume",))
        self.state = PrinterState.PRINTING

    async def stop(self) -> None:
        self.calls.append(("stop",))
        self.state = PrinterState.HALTED

    async def home(self, axes: str) -> None:
        self.calls.append(("home", axes))

    async def heat(self, heater: str, celsius: float) -> None:
        self.calls.append(("heat", heater, celsius))

    async def cool(self) -> None:
        self.calls.append(("cool",))

    async def command(self, line: str) -> list[str]:
        self.calls.append(("command", line))
        return []

    def _demand_printing(self) -> None:
        if self.state is not PrinterState.PRINTING:
            raise RefusedError("nothing is being printed", code="not_printing")


@dataclass(slots=True)
class FakeClient:
    """One connection of `FakeNetwork`; tests speak for the broker."""

    attempt: int
    address: BrokerAddress
    will: Message
    post: Post
    is_automatic: bool
    sent: list[tuple[int, Message]] = field(default_factory=list)
    acked: list[tuple[int, int]] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    is_dropped: bool = False
    is_left: bool = False
    _next_mid: int = 1

    @property
    def beat_s(self) -> float:
        return time.monotonic()

    def start(self) -> None:
        if self.is_automatic:
            self.post(Connected(self.attempt, Connack()))

    def subscribe(self, topic: str) -> None:
        self.topics.append(topic)
        self.post(Subscribed(self.attempt, (1,)))

    def publish(self, token: int, message: Message) -> None:
        self.sent.append((token, message))
        if message.qos and self.is_automatic:
            self.post(Published(self.attempt, token, 0))

    def acknowledge(self, ack: tuple[int, int]) -> None:
        self.acked.append(ack)

    def leave(self) -> None:
        self.is_left = True

    def drop(self) -> None:
        self.is_dropped = True

    def join(self, timeout_s: float) -> bool:
        return True

    # For tests

    def deliver(self, topic: str, payload: bytes, **properties: object) -> tuple[int, int]:
        ack = (self._next_mid, 1)
        self._next_mid += 1
        message = replace(Incoming(topic, payload, ack), **properties)  # type: ignore[arg-type]
        self.post(Received(self.attempt, message))
        return ack

    def on(self, topic: str) -> list[Message]:
        return [message for _, message in self.sent if message.topic == topic]

    def cut(self) -> None:
        self.post(Ended(self.attempt, Closed(CloseKind.LOST, "cut")))


@dataclass(slots=True)
class FakeNetwork:
    """Dials `FakeClient`s; an automatic one answers like a broker that is always there."""

    is_automatic: bool = True
    clients: list[FakeClient] = field(default_factory=list)

    def dial(self, attempt: int, address: BrokerAddress, will: Message, post: Post) -> FakeClient:
        client = FakeClient(attempt, address, will, post, self.is_automatic)
        self.clients.append(client)
        return client

    @property
    def last(self) -> FakeClient:
        return self.clients[-1]
