"""What a handshake can end with."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.domain.printer import FirmwareInfo, Temperature
from agent.printer.dialects import Dialect
from agent.printer.replies import HaltReason


@dataclass(frozen=True, slots=True)
class Answered:
    """Somebody is there. `last_line` is None where it cannot be asked.

    `greeting`: the boot greeting heard meanwhile; `restarted`: it proves that the board has just booted.
    `busy`: a long command is running, so M115 was not answered yet (`firmware` may be None).
    """

    dialect: Dialect
    firmware: FirmwareInfo | None
    greeting: str = ""
    restarted: bool = False
    last_line: int | None = None
    temperatures: dict[str, Temperature] = field(default_factory=dict)
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody answers. `heard`: lines came, but no answer."""

    sentence: str
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Garbage:
    """What comes is no text: most likely another baud rate. `ratio`: share of bytes that are no text."""

    sentence: str
    ratio: float


@dataclass(frozen=True, slots=True)
class BoardHalted:
    """The firmware is in a halted state and obeys nothing."""

    text: str
    reason: HaltReason


HandshakeResult = Answered | Silent | Garbage | BoardHalted
