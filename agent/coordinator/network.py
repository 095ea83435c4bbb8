"""What the network client tells the session, as values."""

from __future__ import annotations

from dataclasses import dataclass

from agent.coordinator.messages import Closed, Connack, Incoming


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took the connection."""

    attempt: int
    broker: Connack


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker's SUBACK."""

    attempt: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """The broker's PUBACK for `token`."""

    attempt: int
    token: int
    code: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message on `down/#`."""

    attempt: int
    message: Incoming


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over; nothing follows from this attempt."""

    attempt: int
    why: Closed


NetworkEvent = Connected | Subscribed | Published | Received | Ended
