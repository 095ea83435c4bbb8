"""The link: the session's effects carried out, the broker's messages handed on, a look at the printer each second.

A side service: whatever fails here is restarted by the supervisor and costs a print nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from agent.coordinator.broker_address import BrokerAddress
from agent.coordinator.effects import Announce, Connect, Drop, Effect, Load, Omit, Publish, Subscribe
from agent.coordinator.messages import Closed, CloseKind, Incoming, Message
from agent.coordinator.network import Connected, Ended, NetworkEvent, Published, Received, Subscribed
from agent.coordinator.records import EVENTS_STREAM, TELEMETRY_STREAM
from agent.coordinator.reporter import Reporter
from agent.coordinator.session import Phase, Session
from agent.coordinator.shelf import Shelf
from agent.coordinator.topics import Topics
from agent.domain.errors import FabunitError
from agent.jobs.queue import Queue

TICK_S = 1.0
# How long the end of the daemon waits for the goodbye to leave.
FAREWELL_S = 1.5
# Connections of one daemon's life; the durable part of the counter is what a start adds.
CONNECTS_PER_START = 1_000_000

_log = structlog.get_logger(__name__)


class NetworkClient(Protocol):
    """One connection; see `agent.coordinator.client.BrokerClient`."""

    @property
    def beat_s(self) -> float:
        """When its thread turned last, monotonic seconds."""
        ...

    def start(self) -> None:
        """Begin to connect."""
        ...

    def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1."""
        ...

    def publish(self, token: int, message: Message) -> None:
        """Send."""
        ...

    def acknowledge(self, ack: tuple[int, int]) -> None:
        """Acknowledge a received message."""
        ...

    def leave(self) -> None:
        """Disconnect in order."""
        ...

    def drop(self) -> None:
        """Let go at once."""
        ...

    def join(self, timeout_s: float) -> bool:
        """Wait for its thread."""
        ...


Post = Callable[[NetworkEvent], None]
# (attempt, address, will, post) → client
Dial = Callable[[int, BrokerAddress, Message, Post], NetworkClient]


class Reception(Protocol):
    """Takes what the broker delivers."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    def deliver(self, message: Incoming, done: Callable[[bool], None]) -> None:
        """Take a message; `done(True)` when the broker may forget it, `done(False)` when it must come again."""
        ...

    async def tick(self) -> None:
        """Do what time demands, every second."""
        ...


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """The link for `fabunit status` and `doctor`; times in seconds ago or from now."""

    state: str
    broker: str
    online_s: float | None
    retry_in_s: float | None
    kind: str
    problem: str
    remedy: str
    events_waiting: int
    telemetry_waiting: int
    watched: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


class Link:
    """Runs the session; event loop only. Set `reception` before `run`."""

    def __init__(
        self,
        topics: Topics,
        addresses: tuple[BrokerAddress, ...],
        dial: Dial,
        *,
        queue: Queue,
        shelf: Shelf,
        reporter: Reporter,
        jitter: Callable[[], float] = random.random,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = topics
        self._addresses = addresses
        self._dial = dial
        self._queue = queue
        self._shelf = shelf
        self._reporter = reporter
        self._jitter = jitter
        self._clock_s = clock_s
        self._session = Session(topics, shelf.streams(), len(addresses))
        self._clients: dict[int, NetworkClient] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._connect_base = 0
        self.reception: Reception | None = None

    # For the rest of the daemon

    def status(self) -> LinkStatus:
        """How the link stands."""
        session, now = self._session, self._clock_s()
        streams = session.streams
        close = session.last_close if session.phase is not Phase.ONLINE else None
        problem = close.detail if close else session.problem or streams[EVENTS_STREAM].problem
        return LinkStatus(
            state=session.phase.value,
            broker=str(self._addresses[session.address]),
            online_s=None if session.online_since_s is None else round(now - session.online_since_s, 1),
            retry_in_s=None if session.retry_at_s is None else round(max(0.0, session.retry_at_s - now), 1),
            kind=close.kind.value if close else "",
            problem=problem,
            remedy=close.remedy if close else "",
            events_waiting=streams[EVENTS_STREAM].backlog,
            telemetry_waiting=streams[TELEMETRY_STREAM].backlog,
            watched=session.is_watched(now),
        )

    def undelivered(self) -> int:
        """How many events the coordinator lacks."""
        return self._session.streams[EVENTS_STREAM].backlog

    def newest_event(self) -> int:
        """Return the highest number of an event that is known to exist."""
        return self._session.streams[EVENTS_STREAM].newest

    # For commands and reception

    def answer(self, message: Message) -> None:
        """Send an answer now or when the link is up."""
        self._apply(self._session.answer(message, self._clock_s()))

    def watch(self, seconds: float) -> float:
        """Open or renew the lease for live samples."""
        granted = self._session.grant_live(seconds, self._clock_s())
        if granted:
            self._apply(self._session.live(self._reporter.live(), self._clock_s()))
        return granted

    def rebirth(self) -> None:
        """Send presence and description again."""
        self._reporter.forget()
        self._apply(self._session.keep(self._reporter.presence("online", "rebirth"), self._clock_s()))
        self._spawn(self._describe())

    def acknowledged(self, stream: str, upto: int) -> None:
        """Pass on that the coordinator has everything of a stream up to `upto`."""
        self._apply(self._session.acknowledged(stream, upto, self._clock_s()))

    def rewind(self, stream: str, to: int) -> None:
        """Send everything behind `to` again."""
        self._apply(self._session.rewind(stream, to, self._clock_s()))

    def limit_batch(self, records: int) -> None:
        """Have at most this many records in a message."""
        for stream in self._session.streams.values():
            stream.batch_records = records

    # Running

    async def run(self) -> None:
        """Keep the link until cancelled. Raises (in an ExceptionGroup) when the state directory fails."""
        self._session = Session(self._topics, await self._shelf.begin(), len(self._addresses))
        self._connect_base = await self._shelf.count_start() * CONNECTS_PER_START
        self._clients = {}
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                if self.reception is not None:
                    tasks.create_task(self.reception.run(), name="link reception")
                tasks.create_task(self._follow_queue(), name="link events")
                tasks.create_task(self._tick_forever(), name="link seconds")
                self._apply(self._session.start(self._clock_s()))
        finally:
            self._tasks = None
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        farewell = self._reporter.presence("offline", "the daemon stopped")
        clients = list(self._clients.values())
        self._apply(self._session.stop(farewell))
        self._clients.clear()
        for client in clients:
            await asyncio.to_thread(client.join, FAREWELL_S)
            client.drop()
        with contextlib.suppress(FabunitError):
            await self._shelf.save_mark()

    async def _follow_queue(self) -> None:
        version = -1
        while True:
            newest = await self._shelf.newest_event()
            self._apply(self._session.appended(EVENTS_STREAM, newest, self._clock_s()))
            version = await self._queue.wait_changed(version)

    async def _tick_forever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._tick()
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _tick(self) -> None:
        now, session = self._clock_s(), self._session
        client = self._clients.get(session.attempt)
        if client is not None:
            session.beat(session.attempt, client.beat_s)
        deadline = session.deadline()
        if deadline is not None and now >= deadline:
            self._apply(session.on_deadline(now, self._jitter()))
        if session.is_watched(now):
            self._apply(session.live(self._reporter.live(), now))
        measured = self._reporter.block()
        if measured is not None:
            newest = await self._shelf.append_block(*measured)
            self._apply(session.appended(TELEMETRY_STREAM, newest, now))
        if session.phase is Phase.ONLINE:
            await self._describe()
            self._keep_home(is_new=False)
        await self._shelf.tick(now)
        if self.reception is not None:
            await self.reception.tick()

    async def _describe(self) -> None:
        self._reporter.outbox = self._shelf.outbox(self._session.streams)
        message = await self._reporter.changed_description(self._clock_s())
        if message is not None:
            self._apply(self._session.keep(message, self._clock_s()))

    # The network's events, on the event loop

    def _post(self, loop: asyncio.AbstractEventLoop) -> Post:
        def post(event: NetworkEvent) -> None:
            # A loop that is closed belongs to a daemon that has ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._on_network, event)

        return post

    def _on_network(self, event: NetworkEvent) -> None:
        session, now = self._session, self._clock_s()
        match event:
            case Connected(attempt, broker):
                self._apply(session.connected(attempt, broker, now))
            case Subscribed(attempt, codes):
                self._apply(session.subscribed(attempt, codes, now, self._jitter()))
            case Published(attempt, token, code):
                self._apply(session.published(attempt, token, code, now))
            case Received(attempt, message):
                self._receive(attempt, message)
            case Ended(attempt, why):
                self._log_end(attempt, why)
                self._apply(session.closed(attempt, why, now, self._jitter()))

    def _receive(self, attempt: int, message: Incoming) -> None:
        client = self._clients.get(attempt)
        if client is None or self.reception is None:
            return

        def done(is_taken: bool) -> None:  # noqa: FBT001 - the signature is Reception's
            if is_taken:
                client.acknowledge(message.ack)
                return
            # Only a new connection makes the broker deliver it again.
            why = Closed(
                CloseKind.BUSY, "a message could not be put on disk", "see the log; is the disk full?"
            )
            self._apply(self._session.closed(attempt, why, self._clock_s(), self._jitter()))

        self.reception.deliver(message, done)

    def _log_end(self, attempt: int, why: Closed) -> None:
        if attempt == self._session.attempt and self._session.phase is not Phase.STOPPED:
            _log.warning("link_closed", kind=why.kind.value, detail=why.detail, remedy=why.remedy)

    # The session's effects

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Connect(attempt, address):
                    self._connect(attempt, self._addresses[address])
                case Drop(attempt, is_orderly):
                    self._drop(attempt, is_orderly=is_orderly)
                case Subscribe(attempt):
                    self._clients[attempt].subscribe(self._topics.down)
                case Announce(attempt):
                    self._spawn(self._announce(attempt))
                case Publish(attempt, token, message):
                    self._clients[attempt].publish(token, message)
                case Load() as load:
                    self._spawn(self._load(load))
                case Omit() as omit:
                    self._spawn(self._omit(omit))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None:
            work.close()
            return
        self._tasks.create_task(work)

    def _connect(self, attempt: int, address: BrokerAddress) -> None:
        self._reporter.connect = self._connect_base + attempt
        will = self._reporter.presence("lost", "the connection broke")
        client = self._dial(attempt, address, will, self._post(asyncio.get_running_loop()))
        self._clients[attempt] = client
        client.start()

    def _drop(self, attempt: int, *, is_orderly: bool) -> None:
        client = self._clients.pop(attempt, None)
        if client is not None and is_orderly:
            client.leave()
        elif client is not None:
            client.drop()

    async def _announce(self, attempt: int) -> None:
        birth = self._reporter.presence("online")
        self._reporter.outbox = self._shelf.outbox(self._session.streams)
        description = await self._reporter.description(self._clock_s())
        _log.info("link_online", broker=str(self._addresses[self._session.address]))
        self._apply(self._session.announced(attempt, birth, description, self._clock_s()))
        self._keep_home(is_new=True)

    def _keep_home(self, *, is_new: bool) -> None:
        for message in self._reporter.home(self._clock_s(), is_new=is_new):
            self._apply(self._session.keep(message, self._clock_s()))

    async def _load(self, load: Load) -> None:
        loaded = await self._shelf.load(load)
        self._apply(self._session.loaded(loaded, self._clock_s()))

    async def _omit(self, omit: Omit) -> None:
        await self._shelf.omit(omit.stream, omit.seq, omit.reason)
        self._apply(self._session.omitted(omit.stream, self._clock_s()))
