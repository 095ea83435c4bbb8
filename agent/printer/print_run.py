"""One attempt at printing one file, over one or several connections, until it is over.

Event loop only. The rules that make it survive the daemon (P2): whenever the firmware's line counter is about to leave
the job's numbers (pause, cancel, end), a checkpoint is on disk first. After a restart the counter and the checkpoint
together say where the print stands.
"""

from __future__ import annotations

import asyncio
import time

from agent.domain.errors import FabunitError, RefusedError
from agent.domain.job import Reason
from agent.domain.printer import PrinterState
from agent.domain.prints import LastContact, OutcomeState, PrintOutcome
from agent.printer import dead_man, procedures
from agent.printer.engine_events import Failed, StreamDone, Verdict
from agent.printer.link import LinkDownError, PrinterLink
from agent.printer.print_access import Wanted
from agent.printer.print_salvage import NotSalvagedError, SalvageSteps
from agent.printer.print_steps import BREAK_EVERY_S
from agent.printer.print_tally import REASON_FOR
from agent.printer.procedures import PauseSnapshot
from agent.printer.runner import RunnerCrashed
from agent.printer.takeover import Where, gap_of, stand_of
from agent.printer.tracker import halt_words

RECONNECT_LIMIT_S = 600.0
"""How long a print waits for its port to come back: time to find the cable, shorter than a cold nozzle matters."""
UNANSWERED_LIMIT_S = 10.0
"""The same when the port is there and the printer does not answer on it: its processor hangs."""


class PrintRun(SalvageSteps):
    """Executes one PrintOrder."""

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
                if resume:
                    return await self._take_over(link)
                return await (self._salvage(link) if self.order.salvage else self._begin(link))
            except LinkDownError as down:
                self.tally.take_over(link.engine)
                now = time.monotonic()
                self._known_line = self.tally.line
                self._contact = LastContact(self.tally.line, 0.0, now)
                outcome = self._after(down)
                if outcome is not None and outcome.reason is Reason.PRINTER_RESET:
                    return await self._lost(link, outcome.detail)
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
        if await self._dead_man_s(link):
            await link.open_session(self._access.host_base())
            await self._arm(link)
        await link.open_session(self.order.record.base)
        await self._clear_checkpoint()
        self.tally.began_at = time.monotonic()
        return await self._print_from(link, 0)

    async def _salvage(self, link: PrinterLink) -> PrintOutcome:
        """Go on after a reset, where a person has said that the nozzle stands."""
        plan = self.order.salvage
        assert plan is not None  # noqa: S101 - the caller has looked
        self.tally.line = self.tally.from_line = plan.line
        try:
            await self._return_to_part(link, plan)
        except NotSalvagedError as error:
            detail = error.message + await self._cool(link)
            if self._wanted is Wanted.CANCEL:
                return self._ended_by_request(detail)
            return self._failed(Reason.NOT_SALVAGED, detail)
        await link.open_session(self.order.record.base, plan.line)
        await self._clear_checkpoint()
        return await self._print_from(link, plan.line)

    async def _take_over(self, link: PrinterLink) -> PrintOutcome:
        """Go on with a print that an earlier connection or daemon has left."""
        record = self.order.record
        stand = stand_of(link.identity, record, self._snapshot, self._known_line)
        match stand.where:
            case Where.UNKNOWN:
                detail = f"{link.identity.dialect.title} cannot be asked which line it executed last"
                return await self._give_up(link, Reason.DAEMON_RESTARTED, detail)
            case Where.RESET:
                counter, line = link.identity.last_line, self.tally.line
                detail = f"the printer was reset (its last line is {counter}); it stopped after line {line}"
                return await self._lost(link, detail)
            case Where.BEGINNING:
                return await self._begin(link)
        self.tally.line = stand.line
        await self._ask_after_a_gap(stand.line)
        if stand.where is Where.CHECKPOINT and stand.snapshot is not None:
            return await self._from_checkpoint(link, stand.snapshot)
        if self._snapshot is not None and self._snapshot.stage == "cancelling":
            return await self._cancel(link, stand.line)
        if self._wanted is Wanted.PAUSE:
            return await self._pause(link, stand.snapshot, stand.line)
        await link.adopt_session(record.base, stand.line)
        await self._clear_checkpoint()
        return await self._print_from(link, stand.line)

    async def _ask_after_a_gap(self, line: int) -> None:
        """Pause instead of going on when the nozzle has stood on the part for long; not behind the last line."""
        gap = gap_of(self._contact, time.monotonic())
        if self.order.on_takeover is not None:
            await self.order.on_takeover(line, gap.length_s, self.tally.reconnects > 0)
        if not self.tally.reconnects:
            self.tally.from_line = line
        is_long = gap.is_longer_than(self._access.habits.resume_gap_s)
        is_going_on = self._wanted is Wanted.RUN and (
            self._snapshot is None or self._snapshot.stage in ("starting", "salvaging")
        )
        if is_long and is_going_on and line < self.order.record.lines:
            self.want(Wanted.PAUSE, Reason.LONG_GAP, gap.sentence(line))

    async def _from_checkpoint(self, link: PrinterLink, snapshot: PauseSnapshot) -> PrintOutcome:
        """The counter counts the host's own lines: only the checkpoint knows the job's."""
        match snapshot.stage:
            case "finishing":
                return await self._finish(link)
            case "cancelling":
                return await self._cancel(link, snapshot.line)
            case "salvaging":
                detail = "the way back to the part was interrupted, and where the nozzle stands is not certain any more"
                return self._failed(Reason.NOT_SALVAGED, detail + await self._cool(link))
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
            retracted_mm = procedures.retraction_mm(access.profile, self._hotend())
            snapshot = await self._checkpoint("paused", line, dict(access.tracked.position), retracted_mm)
            await self.order.on_pause(True, self._reason, self._detail)  # noqa: FBT003 - the contract of the order
            await self._commands(link, procedures.park(access.profile, snapshot.position, self._hotend()))
        access.set_state(PrinterState.PAUSED, self._detail)
        while self._wanted is Wanted.PAUSE:
            await self._arm(link)  # nothing moves now
            # A request that came during that exchange is not announced again.
            if self._wanted is Wanted.PAUSE:
                await self._either(link.down, timeout_s=dead_man.REFRESH_S)
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
        self.tally.still_at = time.monotonic()
        await self._commands(
            link, procedures.finished(self._access.profile, self._access.tracked, self._access.habits.ejects)
        )
        await self._disarm(link)
        return self._outcome(OutcomeState.COMPLETED, None, "")

    async def _cancel(self, link: PrinterLink, line: int) -> PrintOutcome:
        access = self._access
        access.set_state(PrinterState.CANCELLING, self._detail)
        await self._checkpoint("cancelling", line)
        await link.open_session(access.host_base())
        await self._commands(
            link, procedures.cancelled(access.profile, access.tracked.position, self._hotend())
        )
        await self._disarm(link)
        return self._ended_by_request(self._detail)

    async def _give_up(self, link: PrinterLink, reason: Reason, detail: str) -> PrintOutcome:
        """The print has failed but the printer listens: leave the part and switch the heaters off."""
        self._access.set_state(PrinterState.CANCELLING, detail)
        link.stop_feeding()
        await self._checkpoint("cancelling", self.tally.line)
        try:
            await link.open_session(self._access.host_base())
            await self._commands(link, procedures.cancelled(self._access.profile, {}, self._hotend()))
            await self._disarm(link)
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
            detail = event.detail
            if event.verdict is Verdict.HALTED:
                detail = halt_words(self._access.tracked, detail, time.monotonic())
            return self._failed(reason, detail)
        if self._wanted is Wanted.CANCEL:
            return self._ended_by_request(event.detail)
        if self._wanted is Wanted.SUSPEND:
            return self._outcome(OutcomeState.SUSPENDED, None, event.detail)
        self._access.set_state(PrinterState.CONNECTING, event.detail)
        return None


_STATE_FOR = {Wanted.PAUSE: PrinterState.PAUSING, Wanted.CANCEL: PrinterState.CANCELLING}
