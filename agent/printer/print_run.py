"""One attempt at printing one file, over one or several connections, until it is over.

Event loop only. The rules that make it survive the daemon (P2): whenever the firmware's line counter is about to leave
the job's numbers (pause, cancel, end), a checkpoint is on disk first. After a restart the counter and the checkpoint
together say where the print stands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.domain.errors import FabunitError, RefusedError
from agent.domain.job import Reason
from agent.domain.printer import PrinterState, Temperature
from agent.domain.prints import OutcomeState, PrintOrder, PrintOutcome, PrintState
from agent.gcode.modal import ModalState
from agent.printer import procedures
from agent.printer.engine_events import Failed, StreamDone, Verdict
from agent.printer.feeder import Feeder, modal_at
from agent.printer.link import LinkDownError, PrinterLink
from agent.printer.print_access import PrinterAccess, Wanted
from agent.printer.print_tally import REASON_FOR, PrintTally
from agent.printer.procedures import PauseSnapshot
from agent.printer.progress import ProgressMeter
from agent.printer.runner import RunnerCrashed
from agent.printer.takeover import Where, stand_of

RECONNECT_LIMIT_S = 600.0
"""How long a print waits for its port to come back: time to find the cable, shorter than a cold nozzle matters."""
UNANSWERED_LIMIT_S = 10.0
"""The same when the port is there and the printer does not answer on it: its processor hangs."""
BREAK_EVERY_S = 2.0
"""How often a blocking command is asked to end while a cancel waits."""
SUSPEND_LIMIT_S = 8.0
"""An orderly stop waits this long for the lines in flight; whatever is not confirmed by then is asked for later."""


class PrintRun:
    """Executes one PrintOrder."""

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
        if order.resume:
            self._recall()

    def _recall(self) -> None:
        """What an earlier daemon has left on disk: a checkpoint, and the pause or cancel that was under way."""
        record = self.order.record
        self._snapshot = PauseSnapshot.from_json(record.pause_snapshot)
        stage = self._snapshot.stage if self._snapshot else ""
        if record.state is PrintState.PAUSED or stage in ("pausing", "paused"):
            self._wanted, self._reason = Wanted.PAUSE, record.reason
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

    # -- the run ------------------------------------------------------------------------------------------------

    async def execute(self) -> PrintOutcome:
        """Print until it is over. Raises FabunitError only for defects of this daemon."""
        resume = self.order.resume
        while True:
            link = await self._connection()
            if link is None:
                return self._no_connection()
            self.tally.begin(link.engine)
            try:
                return await (self._take_over(link) if resume else self._begin(link))
            except LinkDownError as down:
                self.tally.take_over(link.engine)
                outcome = self._after(down)
                if outcome is not None:
                    return outcome
            except RefusedError as busy:  # a session could not be opened: the printer does not react any more
                return self._failed(Reason.PRINTER_SILENT, busy.message)
            finally:
                self.tally.take_over(link.engine)
            self.tally.reconnects += 1
            resume = True

    async def _connection(self) -> PrinterLink | None:
        waiting = asyncio.ensure_future(self._access.ready_link(RECONNECT_LIMIT_S))
        while not waiting.done() and self._wanted not in (Wanted.CANCEL, Wanted.SUSPEND):
            await self._either(waiting, timeout_s=BREAK_EVERY_S)
            if self._is_unanswered():
                break
        if not waiting.done():
            waiting.cancel()
            return None
        return waiting.result()

    def _is_unanswered(self) -> bool:
        since = self._access.unanswered_since
        return since is not None and time.monotonic() - since > UNANSWERED_LIMIT_S

    def _no_connection(self) -> PrintOutcome:
        if self._wanted is Wanted.SUSPEND:
            return self._outcome(OutcomeState.SUSPENDED, None, "suspended without a connection")
        if self._wanted is Wanted.CANCEL:
            return self._ended_by_request(self._detail)
        warning = "switch it off at its mains switch if its heaters are on"
        if self._is_unanswered():
            return self._failed(
                Reason.PRINTER_SILENT, f"the port is there but the printer does not answer; {warning}"
            )
        return self._failed(Reason.PORT_LOST, f"the printer did not come back in time; {warning}")

    async def _begin(self, link: PrinterLink) -> PrintOutcome:
        """Print from the first line on."""
        wraps = link.identity.dialect.line_modulus is not None
        if wraps:  # the counter alone could not tell whether the session was opened
            await self._checkpoint("starting", 0)
        await link.open_session(self.order.record.base)
        await self._clear_checkpoint()
        return await self._print_from(link, 0)

    async def _take_over(self, link: PrinterLink) -> PrintOutcome:
        """Go on with a print that an earlier connection or daemon has left."""
        record = self.order.record
        stand = stand_of(link.identity, record, self._snapshot, self.tally.line)
        match stand.where:
            case Where.UNKNOWN:
                detail = f"{link.identity.dialect.title} cannot be asked which line it executed last"
                return await self._give_up(link, Reason.DAEMON_RESTARTED, detail)
            case Where.RESET:
                counter, line = link.identity.last_line, self.tally.line
                detail = f"the printer was reset (its last line is {counter}); it stopped after line {line}"
                return self._failed(Reason.PRINTER_RESET, detail)
            case Where.BEGINNING:
                return await self._begin(link)
        self.tally.line = stand.line
        if stand.where is Where.CHECKPOINT and stand.snapshot is not None:
            return await self._from_checkpoint(link, stand.snapshot)
        if self._snapshot is not None and self._snapshot.stage == "cancelling":
            return await self._cancel(link, stand.line)
        if self._wanted is Wanted.PAUSE:
            return await self._pause(link, stand.snapshot, stand.line)
        await link.adopt_session(record.base, stand.line)
        await self._clear_checkpoint()
        return await self._print_from(link, stand.line)

    async def _from_checkpoint(self, link: PrinterLink, snapshot: PauseSnapshot) -> PrintOutcome:
        """The counter counts the host's own lines: only the checkpoint knows the job's."""
        match snapshot.stage:
            case "finishing":
                return await self._finish(link)
            case "cancelling":
                return await self._cancel(link, snapshot.line)
            case _:
                return await self._pause(link, snapshot, snapshot.line)

    async def _print_from(self, link: PrinterLink, at: int) -> PrintOutcome:
        self._access.set_state(PrinterState.PRINTING)
        self.meter.first_line = self.meter.first_line or at
        done = link.stream(self._feeder(at))
        while self._wanted is Wanted.RUN and not done.done():
            await self._either(done, link.down)
        if link.down.done():
            raise LinkDownError(link.down.result())
        if link.file_failure is not None:
            return await self._give_up(link, Reason.ARTEFACT_LOST, link.file_failure.detail)
        if done.done() and done.exception() is None:
            return await self._confirmed(link, done.result())
        self._access.set_state(_STATE_FOR.get(self._wanted, PrinterState.PRINTING), self._detail)
        line = await self._drain(link)
        return await self._interrupted(link, line)

    async def _interrupted(self, link: PrinterLink, line: int) -> PrintOutcome:
        self.tally.line = line
        match self._wanted:
            case Wanted.SUSPEND:
                return self._outcome(OutcomeState.SUSPENDED, None, f"suspended after line {line}")
            case Wanted.CANCEL:
                return await self._cancel(link, line)
            case Wanted.PAUSE:
                return await self._pause(link, None, line)
            case Wanted.RUN:  # resumed before the pause had begun
                await link.adopt_session(self.order.record.base, line)
                return await self._print_from(link, line)

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

    # -- pause and resume ---------------------------------------------------------------------------------------

    async def _pause(self, link: PrinterLink, snapshot: PauseSnapshot | None, line: int) -> PrintOutcome:
        """Park, wait for a person, return to the very place."""
        access = self._access
        access.set_state(PrinterState.PAUSING, self._detail)
        self.want(Wanted.PAUSE, self._reason, self._detail)
        if snapshot is None:
            snapshot = await self._checkpoint("pausing", line)
        await link.open_session(access.host_base())
        if not snapshot.position:
            await link.command("M400")
            await link.command("M114")
            snapshot = await self._checkpoint("paused", line, dict(access.tracked.position))
            await self.order.on_pause(True, self._reason, self._detail)  # noqa: FBT003 - the contract of the order
            await self._commands(link, procedures.park(access.profile, snapshot.position, self._hotend()))
        access.set_state(PrinterState.PAUSED, self._detail)
        while self._wanted is Wanted.PAUSE:
            await self._either(link.down)
            if link.down.done():
                raise LinkDownError(link.down.result())
        if self._wanted is not Wanted.RUN:
            return await self._interrupted(link, line)
        return await self._resume(link, snapshot)

    async def _resume(self, link: PrinterLink, snapshot: PauseSnapshot) -> PrintOutcome:
        access = self._access
        access.set_state(PrinterState.RESUMING)
        modal = await self._modal_at(snapshot.line)
        commands = procedures.unpark(access.profile, snapshot, modal, self._hotend(modal.tool))
        for command in [*commands, "M400"]:
            await self._command(link, command)
            if self._wanted in (Wanted.CANCEL, Wanted.SUSPEND):
                return await self._interrupted(link, snapshot.line)
        # A pause that was asked for meanwhile comes after the return: its place must be the exact one.
        await link.open_session(self.order.record.base, snapshot.line)
        await self._clear_checkpoint()
        await self.order.on_pause(False, self._reason, "")  # noqa: FBT003 - the contract of the order
        return await self._print_from(link, snapshot.line)

    async def _modal_at(self, line: int) -> ModalState:
        """The modes the job has set up to `line`. Nothing streams while this reads the file."""
        start = ModalState.start(self._access.dialect_name)
        return await asyncio.to_thread(modal_at, self.order.path, line, start)

    # -- ends ---------------------------------------------------------------------------------------------------

    async def _confirmed(self, link: PrinterLink, done: StreamDone) -> PrintOutcome:
        """All lines are acknowledged: compare what was streamed and what the firmware counted with the order."""
        record, prepared, tally = self.order.record, self.order.prepared, self.tally
        tally.line = done.line
        tally.counter = done.counter
        tally.sha256 = link.file_end.end.sha256 if link.file_end else None
        if done.counter is not None and done.counter != record.base + record.lines:
            detail = f"the printer counted {done.counter - record.base} lines of {record.lines}"
            return await self._give_up(link, Reason.LINE_COUNT_MISMATCH, detail)
        if tally.sha256 is not None and tally.sha256 != prepared.sha256:
            return await self._give_up(
                link, Reason.HASH_MISMATCH, "the file changed on disk while it was printed"
            )
        await self._checkpoint("finishing", done.line)
        return await self._finish(link)

    async def _finish(self, link: PrinterLink) -> PrintOutcome:
        await link.open_session(self._access.host_base())
        await link.command("M400")
        await self._commands(
            link, procedures.finished(self._access.profile, self._access.tracked, self._access.ejects)
        )
        return self._outcome(OutcomeState.COMPLETED, None, "")

    async def _cancel(self, link: PrinterLink, line: int) -> PrintOutcome:
        access = self._access
        access.set_state(PrinterState.CANCELLING, self._detail)
        await self._checkpoint("cancelling", line)
        await link.open_session(access.host_base())
        await self._commands(
            link, procedures.cancelled(access.profile, access.tracked.position, self._hotend())
        )
        return self._ended_by_request(self._detail)

    async def _give_up(self, link: PrinterLink, reason: Reason, detail: str) -> PrintOutcome:
        """The print has failed but the printer listens: leave the part and switch the heaters off."""
        self._access.set_state(PrinterState.CANCELLING, detail)
        link.stop_feeding()
        await self._checkpoint("cancelling", self.tally.line)
        try:
            await link.open_session(self._access.host_base())
            await self._commands(link, procedures.cancelled(self._access.profile, {}, self._hotend()))
        except FabunitError as error:
            detail = f"{detail}; the heaters could not be switched off: {error.message}"
        return self._failed(reason, detail)

    def _after(self, down: LinkDownError) -> PrintOutcome | None:
        """What a fallen connection means for the print: None when it may be taken over by the next one."""
        event = down.event
        if isinstance(event, RunnerCrashed):
            raise down
        if isinstance(event, Failed) and event.verdict is not Verdict.SILENT:
            reason = REASON_FOR[event.verdict]
            if event.verdict is Verdict.HALTED and self._reason is not None and self._wanted is Wanted.CANCEL:
                reason = self._reason
            return self._failed(reason, event.detail)
        if self._wanted is Wanted.CANCEL:
            return self._ended_by_request(event.detail)
        if self._wanted is Wanted.SUSPEND:
            return self._outcome(OutcomeState.SUSPENDED, None, event.detail)
        self._access.set_state(PrinterState.CONNECTING, event.detail)
        return None

    # -- small things -------------------------------------------------------------------------------------------

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

    async def _checkpoint(
        self, stage: str, line: int, position: dict[str, float] | None = None
    ) -> PauseSnapshot:
        self._snapshot = PauseSnapshot(stage, line, position or {})
        await self.order.checkpoint(self._snapshot.to_json())
        return self._snapshot

    async def _clear_checkpoint(self) -> None:
        if self._snapshot is not None:
            self._snapshot = None
            await self.order.checkpoint(None)

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


_STATE_FOR = {Wanted.PAUSE: PrinterState.PAUSING, Wanted.CANCEL: PrinterState.CANCELLING}
