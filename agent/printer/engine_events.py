"""What the line engine has to tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.printer.replies import Reply


class Verdict(StrEnum):
    """Why the conversation cannot go on."""

    RESET = "reset"
    HALTED = "halted"
    SILENT = "silent"
    RESEND_LIMIT = "resend_limit"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The firmware expects the line after `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class CommandDone:
    """A host command was executed; `replies` are the raw lines seen while it ran."""

    token: int
    replies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drained:
    """A hold was asked for and nothing is in flight any more: `line` is the last line acknowledged."""

    line: int


@dataclass(frozen=True, slots=True)
class StreamDone:
    """All lines are acknowledged; `counter` is what the firmware's own line counter said, if it could be asked."""

    line: int
    counter: int | None


@dataclass(frozen=True, slots=True)
class Reported:
    """A reply that is not about the conversation itself."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Resynchronised:
    """Lines were lost or rejected and are sent again from `line + 1`."""

    line: int
    again: int
    asked: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine stopped sending for good."""

    verdict: Verdict
    detail: str
    line: int


EngineEvent = SessionOpened | CommandDone | Drained | StreamDone | Reported | Resynchronised | Failed
