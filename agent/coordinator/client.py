"""One connection to a broker: paho-mqtt 2 fenced into one thread of its own, one new client per attempt.

Why a new client each time: paho keeps unacknowledged messages in memory and sends all of them at once after a
reconnection, whatever the broker's Receive Maximum; a client that was never used has none. Reconnection, window and
patience belong to `agent.coordinator.session`. All of paho's methods are called from this thread, so that its locks
never meet one of ours, and its callbacks only pass values on. MQTT 5 only: under 3.1.1 a forbidden publish looks like
a good one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.coordinator import tls
from agent.coordinator.broker_address import BrokerAddress
from agent.coordinator.messages import Closed, CloseKind, Connack, Incoming, Message
from agent.coordinator.mqtt5 import (
    connect_properties,
    disconnection,
    publish_properties,
    refusal,
    will_properties,
)
from agent.coordinator.network import Connected, Ended, NetworkEvent, Published, Received, Subscribed
from agent.coordinator.paho_socket import (
    TrackedClient,
    close_socket,
    demand_sane_packet,
    has_pending,
    set_nodelay,
)

# A ping each half minute of silence: a dead line is noticed within a minute, at 12 kB an hour.
KEEPALIVE_S = 30
# TCP, TLS and WebSocket handshake each; the session's CONNACK timer bounds the sum.
CONNECT_TIMEOUT_S = 10.0
# Each turn of the loop is a heartbeat for the session's watchdog.
TURN_S = 1.0
# QoS 0 messages have no flow control: beyond this many unread ones they are dropped.
MAX_UNREAD = 100
# DISCONNECT is one packet; a stalled broker must not hold up the end of the daemon.
FAREWELL_S = 1.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who this client is; the files are read anew for each connection, so that renewed ones count."""

    client_id: str
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


class BrokerClient:
    """Attempt number `attempt`; `post` takes its events and is called from its thread. Start it once."""

    def __init__(
        self,
        attempt: int,
        address: BrokerAddress,
        credentials: Credentials,
        will: Message,
        post: Callable[[NetworkEvent], None],
        *,
        is_clock_set: bool = True,
    ) -> None:
        self.attempt = attempt
        self.beat_s = time.monotonic()
        """When its loop turned last, monotonic seconds."""
        self._address = address
        self._credentials = credentials
        self._will = will
        self._post = post
        self._is_clock_set = is_clock_set
        self._orders: queue.SimpleQueue[Callable[[Client], object]] = queue.SimpleQueue()
        # Guards the pipe alone: a number of a closed one may already name another file.
        self._wake_lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._tokens: dict[int, int] = {}
        self._why: Closed | None = None
        self._last_error = ""
        self._is_answered = False
        # One writer each: this thread counts what came, the event loop what it is done with.
        self._came = 0
        self._done_with = 0
        self._leave_by_s: float | None = None
        self._is_dropped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{attempt}", daemon=True)

    # Called by the link, from the event loop

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1."""
        options = SubscribeOptions(qos=1)
        self._order(lambda client: client.subscribe(topic, options=options))

    def publish(self, token: int, message: Message) -> None:
        """Send; `Published` follows for QoS 1."""
        self._order(lambda client: self._publish(client, token, message))

    def acknowledge(self, ack: tuple[int, int]) -> None:
        """Send the PUBACK of a received message: what it asked for is on disk, or refused for good."""
        self._done_with += 1
        mid, qos = ack
        if qos:
            self._order(lambda client: client.ack(mid, qos))

    def leave(self) -> None:
        """Send DISCONNECT behind everything ordered so far; the thread then ends by itself, soon in any case."""

        def disconnect(client: Client) -> None:
            self._leave_by_s = time.monotonic() + FAREWELL_S
            client.disconnect()

        self._order(disconnect)

    def drop(self) -> None:
        """Let go: the thread ends as soon as it notices, its events mean nothing any more."""
        self._is_dropped.set()
        self._wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread; returns whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _order(self, order: Callable[[Client], object]) -> None:
        self._orders.put(order)
        self._wake()

    def _wake(self) -> None:
        with self._wake_lock, contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            if self._wake_write >= 0:
                os.write(self._wake_write, b"\0")

    # In the thread

    def _run(self) -> None:
        client: Client | None = None
        try:
            client = self._connect()
            if client is not None:
                self._converse(client)
        except Exception as error:  # noqa: BLE001 - the top of a thread: its end must be told, whatever the reason
            self._why = self._why or tls.explain(error, self._address.host, is_clock_set=self._is_clock_set)
        finally:
            if client is not None:
                close_socket(client)
            self._close_pipe()
            self._post(Ended(self.attempt, self._why or Closed(CloseKind.LOST, "the connection was lost")))

    def _close_pipe(self) -> None:
        with self._wake_lock:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1

    def _connect(self) -> Client | None:
        """Return a connected client whose CONNACK is still to come, or None with `_why` set."""
        client = TrackedClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._credentials.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            transport="websockets" if self._address.is_websocket else "tcp",
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._address.is_websocket:
            client.ws_set_options(path=self._address.path)
        files = (self._credentials.ca_file, self._credentials.client_cert, self._credentials.client_key)
        try:
            if self._address.is_tls:
                client.tls_set_context(tls.context(*files))
        except OSError as error:
            self._why = tls.unusable_file(error, files)
            return None
        if not self._log_in(client):
            return None
        self._listen(client)
        client.will_set(
            self._will.topic,
            self._will.payload,
            self._will.qos,
            self._will.retain,
            will_properties(self._will),
        )
        try:
            client.connect(
                self._address.host,
                self._address.port,
                KEEPALIVE_S,
                clean_start=False,
                properties=connect_properties(),
            )
        except BaseException:
            if client.connecting is not None:
                client.connecting.close()
            raise
        return client

    def _log_in(self, client: Client) -> bool:
        if self._credentials.username is None:
            return True
        password = None
        if self._credentials.password_file is not None:
            try:
                password = self._credentials.password_file.read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                detail = f"password_file cannot be read: {error}"
                self._why = Closed(CloseKind.REFUSED, detail, "check password_file and who may read it")
                return False
        client.username_pw_set(self._credentials.username, password)
        return True

    def _converse(self, client: Client) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        registered = -1
        while (sock := client.socket()) is not None and not self._is_dropped.is_set():
            if self._leave_by_s is not None and time.monotonic() >= self._leave_by_s:
                return
            registered = sock.fileno()
            poll.register(registered, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
            ready = dict(poll.poll(0 if has_pending(sock) else TURN_S * 1000))
            self.beat_s = time.monotonic()
            if self._wake_read in ready:
                self._obey(client)
            if registered in ready or has_pending(sock):
                client.loop_read()
                demand_sane_packet(client)
            if client.want_write():
                client.loop_write()
            client.loop_misc()

    def _obey(self, client: Client) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        with contextlib.suppress(queue.Empty):
            while True:
                self._orders.get_nowait()(client)

    def _publish(self, client: Client, token: int, message: Message) -> None:
        properties = publish_properties(message)
        sent = client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if message.qos:
            self._tokens[sent.mid] = token

    # Callbacks: values only

    def _listen(self, client: Client) -> None:
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_log = self._on_log
        client.on_socket_open = set_nodelay

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        flags: ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._why = refusal(code)
            return
        granted = Connack(
            session_present=flags.session_present,
            receive_maximum=int(getattr(properties, "ReceiveMaximum", 65_535)),
            max_packet_bytes=getattr(properties, "MaximumPacketSize", None),
            max_qos=int(getattr(properties, "MaximumQoS", 2)),
            retain_available=bool(getattr(properties, "RetainAvailable", 1)),
        )
        self._is_answered = True
        self._post(Connected(self.attempt, granted))

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._why is not None:
            return
        if flags.is_disconnect_packet_from_server:
            self._why = disconnection(code)
        else:
            self._why = tls.alert(self._last_error) or self._lost()

    def _lost(self) -> Closed:
        if self._is_answered:
            return Closed(CloseKind.LOST, self._last_error or "the connection was lost")
        detail = "the broker ended the connection before it answered CONNECT"
        if self._address.is_tls and self._credentials.client_cert is None:
            remedy = "it may want a client certificate: set client_cert and client_key"
        elif self._address.is_tls:
            remedy = tls.CERTIFICATE_DOUBT
        else:
            remedy = "is this a broker for MQTT 5, and does it know this unit?"
        return Closed(CloseKind.LOST, detail, remedy)

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self._post(Subscribed(self.attempt, tuple(code.value for code in codes)))

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        token = self._tokens.pop(mid, None)
        if token is not None:
            self._post(Published(self.attempt, token, code.value))

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.qos == 0 and self._came - self._done_with >= MAX_UNREAD:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            client.ack(message.mid, message.qos)
            return
        self._came += 1
        properties = message.properties
        incoming = Incoming(
            topic=topic,
            payload=bytes(message.payload),
            ack=(message.mid, message.qos),
            retain=message.retain,
            content_type=getattr(properties, "ContentType", None),
            response_topic=getattr(properties, "ResponseTopic", None),
            correlation=getattr(properties, "CorrelationData", None),
            expiry_s=getattr(properties, "MessageExpiryInterval", None),
        )
        self._post(Received(self.attempt, incoming))

    def _on_log(self, _client: Client, _data: Any, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self._last_error = text
