"""The coordinator session: when to connect, what to send in which order, when to give up and begin again. Pure.

Every call takes `now` (monotonic seconds) and returns effects to be carried out in order. `jitter` is uniform in 0..1.
The order after a connection is subscribe, birth, description, then the records behind the last acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from agent.coordinator import backoff
from agent.coordinator.backoff import Backoff
from agent.coordinator.documents import batch_body, packed
from agent.coordinator.effects import Announce, Connect, Drop, Effect, Load, Omit, Publish, Subscribe
from agent.coordinator.messages import Closed, CloseKind, Connack, Loaded, Message
from agent.coordinator.outgoing import NOT_AUTHORIZED, Batch, Omission, Outgoing
from agent.coordinator.topics import Topics

# DNS, TCP, TLS and CONNECT over a bad mobile link; a stalled broker answers nothing at all.
CONNACK_TIMEOUT_S = 30.0
SUBACK_TIMEOUT_S = 20.0
# The network thread turns once a second; one that does not is dead or hangs, whatever it says of itself.
SILENT_S = 20.0
# The broker's window may be 65,535; more than this does not make a link faster (measured).
MAX_WINDOW = 20
# Answers wait in memory only; a coordinator that floods a unit gets the newest ones. Two to each command of a burst
# and the refusals of what was above it have room.
MAX_QUEUED = 300
# Room in a packet for the batch's own frame.
_BATCH_FRAME_BYTES = 160
# A broker that names no limit may have one: what every broker that was looked at takes.
DEFAULT_MAX_PACKET_BYTES = 128 * 1024
# Connections that end this soon after their birth, without a reason, are a sign of a second client with this id.
SHORT_LIFE_S = 10.0
SHORT_LIVES = 4
# A coordinator that forgot to renew its lease stops costing traffic after this.
MAX_LEASE_S = 600.0
_FAILURE = 0x80

_LEAST_WAIT_S = {
    CloseKind.TAKEN_OVER: backoff.TAKEN_OVER_LEAST_S,
    CloseKind.BUSY: backoff.BUSY_LEAST_S,
    CloseKind.REFUSED: backoff.REFUSED_LEAST_S,
    CloseKind.FORBIDDEN: backoff.BUSY_LEAST_S,
}


class Phase(StrEnum):
    """How far the connection is."""

    STOPPED = "stopped"
    WAITING = "waiting"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    ANNOUNCING = "announcing"
    ONLINE = "online"


class Session:
    """One unit's conversation with its broker; see the module."""

    def __init__(self, topics: Topics, streams: Sequence[Outgoing], addresses: int = 1) -> None:
        self.phase = Phase.STOPPED
        self.attempt = 0
        self.address = 0
        self.streams = {stream.name: stream for stream in streams}
        self.last_close: Closed | None = None
        self.problem = ""
        self.online_since_s: float | None = None
        self.retry_at_s: float | None = None
        self._topics = topics
        self._addresses = addresses
        self._backoff = Backoff(addresses)
        self._broker = Connack()
        self._deadline_s: float | None = None
        self._beat_s = 0.0
        self._token = 0
        self._open_tokens: dict[int, str] = {}
        self._state: dict[str, Message] = {}
        self._results: deque[Message] = deque(maxlen=MAX_QUEUED)
        self._short_lives = 0
        self._lease_until_s: float | None = None

    # The connection

    def start(self, now: float) -> list[Effect]:
        """Connect for the first time, at once."""
        return self._connect(now)

    def connected(self, attempt: int, broker: Connack, now: float) -> list[Effect]:
        """Take the broker's CONNACK."""
        if attempt != self.attempt or self.phase is not Phase.CONNECTING:
            return []
        self._broker = broker
        self._beat_s = now
        self.phase = Phase.SUBSCRIBING
        self._deadline_s = now + SUBACK_TIMEOUT_S
        return [Subscribe(attempt)]

    def subscribed(self, attempt: int, codes: Sequence[int], now: float, jitter: float) -> list[Effect]:
        """Take the broker's SUBACK; a refusal of `down/#` makes the connection useless."""
        if attempt != self.attempt or self.phase is not Phase.SUBSCRIBING:
            return []
        if any(code >= _FAILURE for code in codes) or not codes:
            detail = f"the broker refuses the subscription to {self._topics.down}"
            remedy = f"let this client read {self._topics.down} in the broker's access list"
            return self.closed(attempt, Closed(CloseKind.FORBIDDEN, detail, remedy), now, jitter)
        self.phase = Phase.ANNOUNCING
        self._deadline_s = None
        return [Announce(attempt)]

    def announced(self, attempt: int, birth: Message, description: Message, now: float) -> list[Effect]:
        """Take birth and description; everything else follows them."""
        if attempt != self.attempt or self.phase is not Phase.ANNOUNCING:
            return []
        self.phase = Phase.ONLINE
        self.online_since_s = now
        # Insertion order is sending order.
        self._state = {birth.topic: birth, description.topic: description}
        return self._pump(now)

    def closed(self, attempt: int, why: Closed, now: float, jitter: float) -> list[Effect]:
        """The connection ended or did not come to be; plan the next one. It never gives up."""
        if attempt != self.attempt or self.phase in (Phase.STOPPED, Phase.WAITING):
            return []
        effects: list[Effect] = [Drop(attempt)]
        effects += self._forget_connection()
        why = self._judged(why, now)
        if self.online_since_s is not None and now - self.online_since_s >= backoff.STABLE_S:
            self._backoff.reset()
        if self.online_since_s is None:
            self.address = (self.address + 1) % self._addresses
        self.online_since_s = None
        self.last_close = why
        self.phase = Phase.WAITING
        self._deadline_s = None
        least_s = _LEAST_WAIT_S.get(why.kind, backoff.LEAST_S)
        self.retry_at_s = now + self._backoff.delay_s(jitter, least_s)
        return effects

    def beat(self, attempt: int, now: float) -> None:
        """Note that the network thread of this connection turned."""
        if attempt == self.attempt:
            self._beat_s = now

    def stop(self, farewell: Message | None) -> list[Effect]:
        """End in order: say goodbye (QoS 1, unanswered) and disconnect."""
        if self.phase is Phase.STOPPED:
            return []
        effects: list[Effect] = []
        if self.phase is Phase.ONLINE and farewell is not None:
            effects.append(self._publish(farewell, "state"))
        effects.append(Drop(self.attempt, is_orderly=True))
        self._forget_connection()
        self.phase = Phase.STOPPED
        self.online_since_s = self.retry_at_s = self._deadline_s = None
        return effects

    # Messages

    def published(self, attempt: int, token: int, code: int, now: float) -> list[Effect]:
        """Take the broker's PUBACK; it frees a place in the window and means no more than that."""
        if attempt != self.attempt:
            return []
        owner = self._open_tokens.pop(token, None)
        effects: list[Effect] = []
        if owner in self.streams:
            effects += self._omit(owner, self.streams[owner].published(token, code, now))
        elif owner is not None and code >= _FAILURE:
            is_forbidden = code == NOT_AUTHORIZED
            what = "forbids" if is_forbidden else f"refuses (0x{code:02x})"
            self.problem = f"the broker {what} publishing on {owner}: check its access list"
        elif owner is not None:
            self.problem = ""
        return effects + self._pump(now)

    def keep(self, message: Message, now: float) -> list[Effect]:
        """Send a retained message; of several that wait for the same topic only the newest goes out."""
        if self.phase is not Phase.ONLINE:
            return []
        self._state[message.topic] = message
        return self._pump(now)

    def answer(self, message: Message, now: float) -> list[Effect]:
        """Send an answer, or keep it until the link is up; beyond MAX_QUEUED the oldest are dropped."""
        self._results.append(message)
        return self._pump(now)

    def live(self, message: Message, now: float) -> list[Effect]:
        """Send a sample (QoS 0) if somebody watches and the link is up; never kept."""
        if self.phase is not Phase.ONLINE or not self.is_watched(now):
            return []
        self._token += 1
        return [Publish(self.attempt, self._token, message)]

    def grant_live(self, seconds: float, now: float) -> float:
        """Open or renew the lease for live samples; returns the seconds granted, 0 ends it."""
        granted = min(max(seconds, 0.0), MAX_LEASE_S)
        self._lease_until_s = now + granted if granted else None
        return granted

    def is_watched(self, now: float) -> bool:
        """Tell whether a lease for live samples runs; it outlives a reconnection."""
        return self._lease_until_s is not None and now < self._lease_until_s

    # Records

    def appended(self, stream: str, newest: int, now: float) -> list[Effect]:
        """Records up to number `newest` exist."""
        outgoing = self.streams[stream]
        outgoing.newest = max(outgoing.newest, newest)
        return self._pump(now)

    def loaded(self, loaded: Loaded, now: float) -> list[Effect]:
        """Take records that `Load` asked for."""
        stream = self.streams[loaded.stream]
        stream.newest = max(stream.newest, loaded.upto)
        if self.phase is not Phase.ONLINE or not self._has_room():
            stream.is_loading = False
            return []
        match stream.cut(loaded, self._payload_budget(), now):
            case Batch() as batch:
                publish = self._publish(self._batch_message(batch), stream.name)
                stream.sent(publish.token, batch, now)
                return [publish, *self._pump(now)]
            case Omission() as omission:
                return [*self._omit(stream.name, omission), *self._pump(now)]
            case _:
                return self._pump(now)

    def omitted(self, stream: str, now: float) -> list[Effect]:
        """A record that `Omit` named is marked: go on."""
        self.streams[stream].is_loading = False
        return self._pump(now)

    def acknowledged(self, stream: str, upto: int, now: float) -> list[Effect]:
        """The coordinator has everything of a stream up to `upto` on its own disk."""
        self.streams[stream].acknowledged(upto, now)
        return self._pump(now)

    def rewind(self, stream: str, to: int, now: float) -> list[Effect]:
        """Send everything behind number `to` again: the coordinator asked for it."""
        # The window stays taken until the broker answers: it counts packets, not our wishes.
        self.streams[stream].rewind(to)
        return self._pump(now)

    # Time

    def deadline(self) -> float | None:
        """When `on_deadline` is due, monotonic seconds."""
        due: list[float | None]
        match self.phase:
            case Phase.STOPPED:
                due = []
            case Phase.WAITING:
                due = [self.retry_at_s]
            case Phase.CONNECTING:
                due = [self._deadline_s]
            case _:
                due = [self._deadline_s, self._beat_s + SILENT_S]
                due += [stream.deadline() for stream in self.streams.values()]
        return min((moment for moment in due if moment is not None), default=None)

    def on_deadline(self, now: float, jitter: float) -> list[Effect]:
        """Do what is due."""
        if self.phase is Phase.WAITING and self.retry_at_s is not None and now >= self.retry_at_s:
            return self._connect(now)
        if self.phase in (Phase.STOPPED, Phase.WAITING):
            return []
        if self._deadline_s is not None and now >= self._deadline_s:
            what = "CONNECT" if self.phase is Phase.CONNECTING else "SUBSCRIBE"
            why = Closed(CloseKind.TIMEOUT, f"the broker did not answer {what} in time")
            return self.closed(self.attempt, why, now, jitter)
        if self.phase is not Phase.CONNECTING and now >= self._beat_s + SILENT_S:
            why = Closed(CloseKind.SILENT, "the network thread stopped without a word and was replaced")
            return self.closed(self.attempt, why, now, jitter)
        for stream in self.streams.values():
            stream.on_deadline(now)
        return self._pump(now)

    # Inside

    def _connect(self, now: float) -> list[Effect]:
        self.attempt += 1
        self.phase = Phase.CONNECTING
        self.retry_at_s = None
        self._deadline_s = now + CONNACK_TIMEOUT_S
        return [Connect(self.attempt, self.address)]

    def _forget_connection(self) -> list[Effect]:
        self._open_tokens.clear()
        self._state.clear()
        effects: list[Effect] = []
        for stream in self.streams.values():
            effects += self._omit(stream.name, stream.disconnected())
        return effects

    def _judged(self, why: Closed, now: float) -> Closed:
        """Recognise a second client with our id behind brokers that do not name the reason."""
        if self.online_since_s is None:
            return why
        is_short = why.kind is CloseKind.LOST and now - self.online_since_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if is_short else 0
        if self._short_lives < SHORT_LIVES:
            return why
        self._short_lives = 0
        detail = f"the broker cut {SHORT_LIVES} connections in a row soon after they began"
        remedy = "is there a second machine with this unit id (a copied SD card)? Give each its own [unit] id"
        return Closed(CloseKind.TAKEN_OVER, detail, remedy)

    def _has_room(self) -> bool:
        return len(self._open_tokens) < max(1, min(MAX_WINDOW, self._broker.receive_maximum))

    def _packet_budget(self) -> int:
        return self._broker.max_packet_bytes or DEFAULT_MAX_PACKET_BYTES

    def _payload_budget(self) -> int:
        frame = Message(self._topics.events, b"", content_type="application/json+zlib").size_bytes
        return self._packet_budget() - frame - _BATCH_FRAME_BYTES

    def _batch_message(self, batch: Batch) -> Message:
        body = batch_body(self._topics.unit, batch.held_from, list(batch.bodies))
        payload, content_type = packed(body)
        return Message(self._topics.events, payload, content_type=content_type)

    def _publish(self, message: Message, owner: str) -> Publish:
        self._token += 1
        self._open_tokens[self._token] = owner
        return Publish(self.attempt, self._token, message)

    def _pump(self, now: float) -> list[Effect]:
        """Fill the window: retained state first, then answers, then records."""
        effects: list[Effect] = []
        if self.phase is not Phase.ONLINE:
            return effects
        while self._has_room() and (message := self._next_message()) is not None:
            if message.size_bytes > self._packet_budget():
                self.problem = f"a message for {message.topic} is too large for the broker and was left out"
                continue
            effects.append(self._publish(message, message.topic))
        if self._has_room():
            for stream in self.streams.values():
                limit = stream.wants(now)
                if limit:
                    stream.is_loading = True
                    effects.append(Load(stream.name, stream.cursor, limit, stream.acked))
        return effects

    def _omit(self, name: str, omission: Omission | None) -> list[Effect]:
        if omission is None:
            return []
        # Nothing is loaded until the mark is on disk: the same record would only be found too large again.
        self.streams[name].is_loading = True
        return [Omit(name, omission.seq, omission.reason)]

    def _next_message(self) -> Message | None:
        if self._state:
            return self._state.pop(next(iter(self._state)))
        return self._results.popleft() if self._results else None
