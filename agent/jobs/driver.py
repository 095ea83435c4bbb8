"""What the pipeline needs from a printer."""

from __future__ import annotations

from typing import Protocol

from agent.domain.job import Reason
from agent.domain.printer import PrinterSnapshot
from agent.domain.prints import PrintOrder, PrintOutcome


class PrintDriver(Protocol):
    """Runs one print at a time; event loop only."""

    def snapshot(self) -> PrinterSnapshot:
        """Return the newest view; never blocks."""
        ...

    async def wait_idle(self) -> None:
        """Return when the printer is connected, idle and able to print."""
        ...

    async def print_file(self, order: PrintOrder) -> PrintOutcome:
        """Run one attempt to its end, or until `suspend`. What goes wrong with the print is an outcome."""
        ...

    async def cancel(self, reason: Reason) -> None:
        """Have the running print end in order. Raises RefusedError when there is none."""
        ...

    async def suspend(self) -> None:
        """Bring the running print to a point where the next daemon takes over; `print_file` returns."""
        ...
