"""What crosses between session and network client, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Message:
    """One publish. `expiry_s` is the MQTT 5 message expiry, None for never."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    content_type: str | None = None
    correlation: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """An upper bound of the packet's size on the wire above TCP."""
        extra = len(self.content_type or "") + len(self.correlation or b"")
        # Fixed header 5, topic length 2, packet id 2, property length 4, and 5 per property.
        return len(self.topic.encode()) + len(self.payload) + extra + 40


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message from the broker; `ack` names it when it is to be acknowledged, `expiry_s` is what is left of it."""

    topic: str
    payload: bytes
    ack: tuple[int, int]
    retain: bool = False
    content_type: str | None = None
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Connack:
    """What the broker granted. `max_packet_bytes` None: it named no limit."""

    session_present: bool = False
    receive_maximum: int = 65_535
    max_packet_bytes: int | None = None
    max_qos: int = 2
    retain_available: bool = True


class CloseKind(StrEnum):
    """Why a connection ended or did not come to be."""

    LOST = "lost"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    CERTIFICATE = "certificate"
    REFUSED = "refused"
    BUSY = "busy"
    PROTOCOL = "protocol"
    TAKEN_OVER = "taken_over"
    TIMEOUT = "timeout"
    SILENT = "silent"
    FORBIDDEN = "forbidden"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a connection: kind, a sentence for people, and what to do about it."""

    kind: CloseKind
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """One durable record as it will be sent: JSON text `body`."""

    epoch: str
    seq: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a stream's table holds behind number `after`, up to a limit, in order.

    `upto` is the highest number that exists; `held_from` the lowest undelivered one of each epoch in `records`.
    """

    stream: str
    after: int
    upto: int
    records: Sequence[Ready]
    held_from: Mapping[str, int]
