"""What passes between the printer service and a running print: what is wanted of it, and what it needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from agent.domain.printer import PrinterState
from agent.domain.profile import PrinterProfile
from agent.printer.link import PrinterLink
from agent.printer.tracker import Tracked


class Wanted(StrEnum):
    """What the run was asked to do next."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"
    SUSPEND = "suspend"


class PrinterAccess(Protocol):
    """What a run needs of the printer service."""

    profile: PrinterProfile
    ejects: bool

    @property
    def tracked(self) -> Tracked:
        """What the replies have said so far."""

    @property
    def dialect_name(self) -> str:
        """The firmware's dialect."""

    async def ready_link(self, timeout_s: float) -> PrinterLink | None:
        """An answering connection, or None when there was none in time."""

    @property
    def unanswered_since(self) -> float | None:
        """Since when the port is there but nobody answers on it; None otherwise."""

    def set_state(self, state: PrinterState, detail: str = "") -> None:
        """Show this state."""

    def host_base(self) -> int:
        """A random first number for lines of the host's own."""
