"""The single steps of a print: wait, command, drain, checkpoint, outcome. `PrintRun` puts them in order.

Event loop only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.domain.errors import FabunitError
from agent.domain.job import Reason
from agent.domain.printer import Temperature
from agent.domain.prints import OutcomeState, PrintOrder, PrintOutcome, PrintState
from agent.gcode.modal import ModalState
from agent.printer import dead_man
from agent.printer.feeder import Feeder, modal_at
from agent.printer.link import LinkDownError, PrinterLink
from agent.printer.print_access import PrinterAccess, Wanted
from agent.printer.print_tally import PrintTally
from agent.printer.procedures import PauseSnapshot
from agent.printer.progress import ProgressMeter

BREAK_EVERY_S = 2.0
"""How often a blocking command is asked to end while a cancel waits."""
SUSPEND_LIMIT_S = 8.0
"""An orderly stop waits this long for the lines in flight; whatever is not confirmed by then is asked for later."""


class PrintSteps:
    """One attempt: what was wanted of it, where it stands on disk, and its single steps on the wire."""

    def __init__(self, order: PrintOrder, access: PrinterAccess) -> None:
        self.order = order
        self.meter = ProgressMeter(order.prepared, order.record.print_id, time.monotonic())
        self.tally = PrintTally(order, self.meter.started_at)
        self._access = access
        self._wanted = Wanted.RUN
        self._reason: Reason | None = None
        self._detail = ""
        self._changed = asyncio.Event()
        self._snapshot: PauseSnapshot | None = None
        self._still: dead_man.Stillness | None = None
        self._contact = order.contact
        self._known_line = 0  # acknowledged to this process
        if order.salvage is not None:
            self._snapshot = PauseSnapshot("salvaging", order.salvage.line)
        if order.resume:
            self._recall()

    def _recall(self) -> None:
        """What an earlier daemon has left on disk: a checkpoint, and the pause or cancel that was under way."""
        record = self.order.record
        self._snapshot = PauseSnapshot.from_json(record.pause_snapshot)
        stage = self._snapshot.stage if self._snapshot else ""
        if record.state is PrintState.PAUSED or stage in ("pausing", "paused"):
            self._wanted, self._reason, self._detail = Wanted.PAUSE, record.reason, record.detail
        if self._contact is not None:
            self.tally.line = self._contact.line
        self._reason = record.cancel_reason or self._reason

    # -- requests -----------------------------------------------------------------------------------------------

    def want(self, wanted: Wanted, reason: Reason | None = None, detail: str = "") -> None:
        """Ask for a pause, a resume (RUN), a cancel or a suspension. A cancel is final, a suspension nearly so."""
        if self._wanted is Wanted.CANCEL or (self._wanted is Wanted.SUSPEND and wanted is not Wanted.CANCEL):
            return
        self._wanted, self._reason, self._detail = wanted, reason, detail
        self._changed.set()

    def stopped(self, reason: Reason, detail: str) -> None:
        """The printer is being halted: whatever else was wanted, this is why the print ends."""
        self._wanted, self._reason, self._detail = Wanted.CANCEL, reason, detail
        self._changed.set()

    @property
    def wanted(self) -> Wanted:
        """What was asked for last."""
        return self._wanted

    def line(self, link: PrinterLink | None) -> int:
        """The last job line known to be acknowledged."""
        return self.tally.line_with(link.engine if link is not None else None)

    # -- on the wire -------------------------------------------------------------------------------------------------

    async def _drain(self, link: PrinterLink) -> int:
        """Hold the stream and wait until nothing is in flight; a cancel breaks heat-ups and other waits."""
        limit = SUSPEND_LIMIT_S if self._wanted is Wanted.SUSPEND else None
        hold = asyncio.ensure_future(link.hold(limit))
        link.stop_feeding()
        while not hold.done():
            if self._wanted is Wanted.CANCEL and link.is_blocked and link.identity.dialect.break_wait:
                link.urgent(link.identity.dialect.break_wait + b"\n")
            await self._either(hold, timeout_s=BREAK_EVERY_S)
        try:
            return hold.result()
        except LinkDownError:
            raise
        except FabunitError:
            return link.engine.window.verified

    async def _either(self, *futures: asyncio.Future[Any], timeout_s: float | None = None) -> None:
        """Wait for one of the futures or for a new request."""
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([*futures, changed], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            self._changed.clear()

    async def _commands(self, link: PrinterLink, commands: list[str]) -> None:
        for command in commands:
            await self._command(link, command)

    async def _command(self, link: PrinterLink, command: str) -> None:
        """One command; a cancel that comes while it heats breaks the wait."""
        running = asyncio.ensure_future(link.command(command))
        while not running.done():
            await self._either(running, timeout_s=BREAK_EVERY_S)
            broken = self._wanted is Wanted.CANCEL and command.startswith(("M109", "M190"))
            if broken and not running.done() and link.identity.dialect.break_wait:
                link.urgent(link.identity.dialect.break_wait + b"\n")
        running.result()

    async def _arm(self, link: PrinterLink) -> None:
        """Set the firmware's dead-man timer, or set it anew. Only while the line numbers are the host's own."""
        length_s = await self._dead_man_s(link)
        if length_s:
            await self._command(link, dead_man.command(length_s))

    async def _disarm(self, link: PrinterLink) -> None:
        """The print is over: an idle printer may stand still for as long as it likes."""
        if dead_man.can_be_set(link.identity, self._access.habits.dead_man_s):
            await self._command(link, dead_man.command(0))

    async def _dead_man_s(self, link: PrinterLink) -> int:
        """How long this print may be still on this printer; 0 without a timer."""
        setting = self._access.habits.dead_man_s
        if not dead_man.can_be_set(link.identity, setting):
            return 0
        if self._still is None:
            try:
                self._still = await asyncio.to_thread(dead_man.stillness_of, self.order.path)
            except OSError:  # the feeder finds the same and ends the print with the reason
                return 0
        return dead_man.seconds(link.identity, setting, self._still)

    async def _checkpoint(
        self,
        stage: str,
        line: int,
        position: dict[str, float] | None = None,
        retracted_mm: float | None = None,
    ) -> PauseSnapshot:
        self._snapshot = PauseSnapshot(stage, line, position or {}, retracted_mm)
        await self.order.checkpoint(self._snapshot.to_json())
        return self._snapshot

    async def _clear_checkpoint(self) -> None:
        if self._snapshot is not None:
            self._snapshot = None
            await self.order.checkpoint(None)

    async def _modal_at(self, line: int) -> ModalState:
        """The modes the job has set up to `line`. Nothing streams while this reads the file."""
        start = ModalState.start(self._access.dialect_name)
        return await asyncio.to_thread(modal_at, self.order.path, line, start)

    def _feeder(self, at: int) -> Callable[[int | None, Callable[[], None]], Feeder]:
        path: Path = self.order.path

        def make(base: int | None, wake: Callable[[], None]) -> Feeder:
            return Feeder(path, self.order.prepared, base, at, wake)

        return make

    def _hotend(self, tool: int = 0) -> Temperature | None:
        return self._access.tracked.temperatures.get(f"T{tool}")

    def _ended_by_request(self, detail: str) -> PrintOutcome:
        return self.tally.ended_by_request(self._reason, detail, time.monotonic())

    def _failed(self, reason: Reason, detail: str) -> PrintOutcome:
        return self._outcome(OutcomeState.FAILED, reason, detail)

    def _outcome(self, state: OutcomeState, reason: Reason | None, detail: str) -> PrintOutcome:
        return self.tally.outcome(state, reason, detail, time.monotonic())
