"""The coordinator's connection to its broker: paho behind a queue. Callbacks only enqueue.

MQTT 5 with a session that outlives this process (clean start off): what units said meanwhile waits at the broker.
Messages are acknowledged by hand, after the commit. Broken connections are tried again for ever by paho's own thread.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.coordinator import tls
from agent.coordinator.broker_address import BrokerAddress, parse_address
from agent.coordinator.paho_socket import set_nodelay
from agent.coordinator.standin.protocol import SUBSCRIPTIONS, Arrived, Mark, Outgoing
from agent.domain.errors import FabunitError, UsageError

# A weekend without the coordinator loses nothing at the broker; longer outages are healed by the units' outboxes.
SESSION_EXPIRY_S = 7 * 24 * 3600
# Messages the broker may send before the first is acknowledged: enough that a commit serves many at once.
RECEIVE_MAXIMUM = 200
# On our side of the way out; the broker's own maximum counts when it is lower. Paho keeps neither when it reconnects.
MAX_WINDOW = 20
KEEPALIVE_S = 30
_RETRY_S = (1, 30)
# TCP, TLS and WebSocket handshake each.
_CONNECT_TIMEOUT_S = 10.0
# The farewell must not hold up the end of the program.
_END_S = 2.0


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where the broker is and how to get in. Paths are empty where they are not used."""

    address: BrokerAddress
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took us; `is_session_kept` tells whether it remembers our subscriptions and messages.

    `window` is how many messages it wants to have under way at once.
    """

    is_session_kept: bool
    window: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended, or the broker refused it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message; it has to be acknowledged after the commit. `mid` means something in one connection only."""

    message: Arrived
    mid: int
    qos: int
    generation: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The broker has taken (or refused) the message with this number; see `BrokerLink.mark_of`."""

    mid: int
    is_accepted: bool


LinkEvent = Connected | Disconnected | Delivered | Taken


def parse_broker(url: str) -> BrokerPlace:
    """Read a broker's URL in the forms that a unit's own configuration takes. Raises UsageError."""
    try:
        return BrokerPlace(parse_address(url))
    except ValueError as error:
        raise UsageError(
            f"{url!r} is no broker URL: {error}",
            code="bad_broker",
            remedy="write mqtts://host:8883, wss://host/path, or without TLS mqtt://host:1883 or ws://host/path",
        ) from None


class BrokerLink:
    """One client; `events` brings what happened, every other method is called from one thread."""

    def __init__(self, place: BrokerPlace, client_id: str) -> None:
        self.events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        self._place = place
        self._pending: deque[Outgoing] = deque()
        self._open: dict[int, Mark | None] = {}
        self._window = MAX_WINDOW
        self._generation = 0
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            transport="websockets" if place.address.is_websocket else "tcp",
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = set_nodelay
        client.reconnect_delay_set(*_RETRY_S)
        # The window is ours: paho's own count is wrong once messages were dropped.
        client.max_inflight_messages_set(0xFFFF)
        self._enter(place)

    def start(self) -> None:
        """Connect in the background, again and again."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect_async(
            self._place.address.host,
            self._place.address.port,
            KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the session stays at the broker."""
        self._client.disconnect()
        # In a thread, because it waits for up to two keepalives when a broker is stalled.
        ending = threading.Thread(target=self._end, name="broker end", daemon=True)
        ending.start()
        ending.join(_END_S)

    def _end(self) -> None:
        self._client.loop_stop()
        # A connection that came about in the meantime has nobody left who would close it.
        self._client.disconnect()

    def acknowledge(self, delivered: Delivered) -> None:
        """Tell the broker that a message is on our disk.

        One from before the last reconnection comes again: its number may belong to another message by now.
        """
        if delivered.qos and delivered.generation == self._generation:
            self._client.ack(delivered.mid, delivered.qos)

    def begin(self, connected: Connected) -> None:
        """Start a new connection: subscribe, with nothing on its way."""
        self._window = max(1, min(MAX_WINDOW, connected.window))
        self.forget()
        self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in SUBSCRIPTIONS])

    def publish(self, message: Outgoing) -> None:
        """Send one message as soon as the window allows; `Taken` follows."""
        self._pending.append(message)
        self._pump()

    def taken(self, mid: int) -> Mark | None:
        """Return the mark of a message that the broker has answered, and send the next."""
        mark = self._open.pop(mid, None)
        self._pump()
        return mark

    def forget(self) -> None:
        """Drop what is on its way: what is still due after a reconnection is published anew."""
        self._pending.clear()
        self._open.clear()

    def _pump(self) -> None:
        while self._pending and len(self._open) < self._window:
            message = self._pending.popleft()
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = "application/json"
            if message.expiry_s is not None:
                properties.MessageExpiryInterval = message.expiry_s
            info = self._client.publish(message.topic, message.payload, 1, message.retain, properties)
            self._open[info.mid] = message.mark

    def _enter(self, place: BrokerPlace) -> None:
        try:
            if place.username:
                password = Path(place.password_file).read_text().strip() if place.password_file else None
                self._client.username_pw_set(place.username, password)
            if place.address.is_websocket:
                self._client.ws_set_options(path=place.address.path)
            if place.address.is_tls:
                files = (place.ca_file, place.client_cert, place.client_key)
                self._client.tls_set_context(tls.context(*(Path(file) if file else None for file in files)))
        except OSError as error:
            raise FabunitError(
                f"password or certificate cannot be used: {error}", code="bad_credentials"
            ) from error

    # Callbacks: paho's thread. They take no lock and never raise, or that thread ends without a word.

    def _on_connect(
        self, _client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, code: ReasonCode, properties: Any
    ) -> None:
        if code.is_failure:
            self.events.put(Disconnected(f"the broker refuses: {code}"))
        else:
            # Else paho sends everything again at once, whatever the broker's window is; due messages come anew.
            forget_unacknowledged(self._client)
            self._generation += 1
            window = getattr(properties, "ReceiveMaximum", MAX_WINDOW)
            self.events.put(Connected(bool(flags.session_present), int(window)))

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        # paho calls this from its except clause and passes nothing on.
        error = sys.exception()
        if error is not None:
            why = tls.explain(error, self._place.address.host, is_clock_set=True)
            self.events.put(Disconnected(f"{why.detail}; {why.remedy}"))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self.events.put(Disconnected(str(code)))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        content_type = getattr(message.properties, "ContentType", None)
        arrived = Arrived(message.topic, bytes(message.payload), content_type)
        self.events.put(Delivered(arrived, message.mid, message.qos, self._generation))

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        self.events.put(Taken(mid, not code.is_failure))


def forget_unacknowledged(client: mqtt.Client) -> None:
    """Have paho forget what it has sent and nobody acknowledged: 2.2 has a call for that, Trixie's 2.1 has not."""
    drop = getattr(client, "drop_out_messages", None)
    if drop is not None:
        drop()
        return
    with client._out_message_mutex:  # noqa: SLF001 - what the newer call does
        client._out_messages.clear()  # noqa: SLF001
