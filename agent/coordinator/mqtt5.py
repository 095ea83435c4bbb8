"""MQTT 5's properties and reason codes, as far as this client sends and understands them."""

from __future__ import annotations

from functools import lru_cache

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.coordinator.documents import MAX_PAYLOAD_BYTES
from agent.coordinator.messages import Closed, CloseKind, Message

# The broker keeps what it has for an absent unit a week; older losses are healed by `down/want`.
SESSION_EXPIRY_S = 7 * 24 * 3600
# Jobs and commands a broker may send before the unit has acknowledged one of them.
RECEIVE_MAXIMUM = 20
# The largest document and the packet around it.
MAX_PACKET_BYTES = MAX_PAYLOAD_BYTES + 8 * 1024
# A reconnection within this leaves no trace in the presence.
WILL_DELAY_S = 30

# Reason codes of MQTT 5, section 2.4.
_TAKEN_OVER = 0x8E
_BUSY = frozenset({0x88, 0x89, 0x97, 0x9F})
_REFUSED = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})


def refusal(code: ReasonCode) -> Closed:
    """What a failed CONNACK means."""
    if code.value in _BUSY:
        return Closed(CloseKind.BUSY, f"the broker is busy: {code}")
    if code.value in _REFUSED:
        remedy = "check username, password_file, client_cert and the unit id with whoever runs the broker"
        return Closed(CloseKind.REFUSED, f"the broker refuses this unit: {code}", remedy)
    return Closed(
        CloseKind.PROTOCOL, f"the broker refuses the connection: {code}", "the broker must speak MQTT 5"
    )


def disconnection(code: ReasonCode) -> Closed:
    """What a DISCONNECT from the broker means."""
    if code.value == _TAKEN_OVER:
        remedy = "a second machine uses this unit id (a copied SD card?): give each its own [unit] id"
        return Closed(CloseKind.TAKEN_OVER, "another client took over this unit's session", remedy)
    if code.value in _BUSY:
        return Closed(CloseKind.BUSY, f"the broker sent this unit away: {code}")
    if code.value in _REFUSED:
        remedy = "check this unit's rights in the broker's access list"
        return Closed(CloseKind.REFUSED, f"the broker sent this unit away: {code}", remedy)
    return Closed(CloseKind.LOST, f"the broker ended the connection: {code}")


def connect_properties() -> Properties:
    """What a CONNECT carries."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties


def will_properties(will: Message) -> Properties:
    """What a last will carries."""
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.WillDelayInterval = WILL_DELAY_S
    if will.content_type is not None:
        properties.ContentType = will.content_type
    return properties


def publish_properties(message: Message) -> Properties:
    """What a PUBLISH carries."""
    if message.correlation is None:
        return _usual_properties(message.expiry_s, message.content_type)
    properties = _publish_properties(message.expiry_s, message.content_type)
    properties.CorrelationData = message.correlation
    return properties


class _PackedProperties(Properties):
    """Properties whose bytes are made once: paho takes 80 µs to compose them, and a unit sends few different ones."""

    def __init__(self, properties: Properties) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.__dict__["packed"] = properties.pack()  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        return bytes(self.__dict__["packed"])


@lru_cache(maxsize=8)
def _usual_properties(expiry_s: int | None, content_type: str | None) -> Properties:
    return _PackedProperties(_publish_properties(expiry_s, content_type))


def _publish_properties(expiry_s: int | None, content_type: str | None) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if content_type is not None:
        properties.ContentType = content_type
    return properties
