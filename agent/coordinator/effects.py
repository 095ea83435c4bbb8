"""What the session wants done: the link carries these out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.coordinator.messages import Message


@dataclass(frozen=True, slots=True)
class Connect:
    """Open connection `attempt` to broker number `address` (an index into the configured ones)."""

    attempt: int
    address: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Let go of connection `attempt`: nothing it still says counts. `is_orderly`: send DISCONNECT first."""

    attempt: int
    is_orderly: bool = False


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to `down/#`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Compose birth and description and give them to `Session.announced`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Send a message; `token` names it in `Session.published` (QoS 0 is not answered)."""

    attempt: int
    token: int
    message: Message


@dataclass(frozen=True, slots=True)
class Load:
    """Read up to `limit` records of a stream behind number `after` and give them to `Session.loaded`.

    The coordinator has everything up to `acked`: what is above it and still on disk is undelivered.
    """

    stream: str
    after: int
    limit: int
    acked: int


@dataclass(frozen=True, slots=True)
class Omit:
    """Mark a record as one whose content cannot be sent; it is delivered as a number with `reason`."""

    stream: str
    seq: int
    reason: str


Effect = Connect | Drop | Subscribe | Announce | Publish | Load | Omit
