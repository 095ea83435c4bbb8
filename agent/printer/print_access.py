"""What passes between the printer service and a running print: what is wanted of it, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class PrintHabits:
    """What the owner has settled about prints and stops on this unit.

    `ejects`: the profile's eject script clears the bed after a completed print. `dead_man_s`: see `dead_man.seconds`.
    `resume_gap_s`: a print left alone for longer is paused before it goes on. `stop_resets`: whether an emergency stop
    resets the board over DTR as well; None where the firmware has not proven that it reads a stop while it is busy.
    """

    ejects: bool = False
    dead_man_s: int | None = None
    resume_gap_s: float = 60.0
    stop_resets: bool | None = None


class PrinterAccess(Protocol):
    """What a run needs of the printer service."""

    profile: PrinterProfile
    habits: PrintHabits

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
