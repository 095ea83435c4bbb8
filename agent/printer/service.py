"""The printer as the rest of the daemon sees it: prints files, answers people, watches heat.

Event loop only. Everything that touches the wire happens in the printer thread behind `PrinterLink`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import structlog

from agent.domain.errors import FabunitError, RefusedError
from agent.domain.job import Reason
from agent.domain.printer import PortHealth, PrinterSnapshot, PrinterState, Sample, TranscriptEntry
from agent.domain.prints import PrintOrder, PrintOutcome
from agent.domain.profile import PrinterProfile
from agent.printer import dead_man, procedures, views
from agent.printer.connection import Connection, LinkListener
from agent.printer.connector import Connector
from agent.printer.direct_control import DirectControl
from agent.printer.heat import HeatGuard, Surroundings
from agent.printer.line_quality import LineQuality, LineReport, LineState
from agent.printer.link import PrinterLink
from agent.printer.print_access import PrintHabits, Wanted
from agent.printer.print_run import PrintRun
from agent.printer.replies import Action, ErrorSeverity, Halted, PrinterError, Reply, TemperatureReport
from agent.printer.safety import Action as HeatAction
from agent.printer.safety import Alarm
from agent.printer.stop_path import EmergencyParser
from agent.printer.tracker import Tracked, halt_words, track
from agent.printer.transcript import Transcript

TICK_S = 1.0
SAMPLES = 600
"""Ten minutes of one-second samples for the live view."""
POLL_EVERY_S = 3.0
"""Temperature polling where the firmware cannot report by itself."""
CONSOLE_POLL_S = 0.1
SETTLE_S = 5.0
"""For a command that is executed at once, on a board that has just answered."""
HALT_REMEDY = "reset the printer, then `fabunit printer connect`"
ERROR_DOUBT_S = 0.5
"""A refused line has been sent again by then; whatever was damaged in the refusal is known to be just that."""


class PrinterService(DirectControl):
    """One printer. `run` keeps it connected; the other methods may be called at any time."""

    def __init__(
        self,
        profile: PrinterProfile,
        connector: Connector,
        *,
        habits: PrintHabits | None = None,
        resume_expected: bool = False,
        on_line: Callable[[LineReport], None] | None = None,
        cut_power: Callable[[str], None] | None = None,
    ) -> None:
        """`resume_expected`: a print is to be taken over, so the firmware's line counter must not be touched.

        `on_line` is told when the line to the printer has become worse or better; it must only enqueue. `cut_power`
        begins to switch the printer's power off, behind every emergency stop; it must not wait.
        """
        super().__init__(profile)
        self.habits = habits or PrintHabits()
        self.transcript = Transcript()
        self._connector = connector
        self._resume_expected = resume_expected
        self._log = structlog.get_logger("printer")
        listener = LinkListener(self._on_reply, self._on_link, lambda: self._run is not None)
        self._connection = Connection(connector, self.transcript, self._shown, listener)
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._run_over = asyncio.Event()
        self._suspending = False
        self._cooling: asyncio.Future[None] | None = None
        self._heat = HeatGuard(profile, time.monotonic())
        self._last_poll = 0.0
        self._line = LineQuality()
        self._on_line = on_line or (lambda _: None)
        self._cut_power = cut_power

    async def run(self) -> None:
        """Keep the printer connected and watched until cancelled. Raises when the printer thread has a defect."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connection.run(), name="connection")
            tasks.create_task(self._tick_forever(), name="printer-tick")

    async def _on_link(self, link: PrinterLink) -> None:
        """A connection has come up; nobody uses it yet."""
        self._tracked = Tracked(temperatures={**self._tracked.temperatures, **link.identity.temperatures})
        self._heat = HeatGuard(self.profile, time.monotonic(), self._connector.model_speed(link.identity))
        if self._run is None and not self._resume_expected:
            try:
                await self._host_session(link)
                if dead_man.can_be_set(
                    link.identity, self.habits.dead_man_s
                ):  # of a print that lost its port
                    await link.command(dead_man.command(0), SETTLE_S)
            except FabunitError as error:
                self._log.warning("line_number_not_set", detail=error.message)

    # -- PrinterAccess: what a print run needs --------------------------------------------------------------------

    @property
    def tracked(self) -> Tracked:
        """What the replies have said so far."""
        return self._tracked

    @property
    def unanswered_since(self) -> float | None:
        """Since when the port is there but nobody answers on it."""
        return self._connection.unanswered_since

    async def ready_link(self, timeout_s: float) -> PrinterLink | None:
        """An answering link, or None when there was none in time."""
        return await self._connection.ready_link(timeout_s)

    def set_state(self, state: PrinterState, detail: str = "") -> None:
        """Show this state."""
        self._shown.set(state, detail)

    # -- printing -----------------------------------------------------------------------------------------------

    async def wait_idle(self) -> None:
        """Return when connected and able to begin a print."""
        await self._shown.wait_for(PrinterState.IDLE)

    async def print_file(self, order: PrintOrder) -> PrintOutcome:
        """Print one file; returns when the attempt is over."""
        if self._run is not None:
            msg = f"print {self._run.order.record.print_id} is still running"
            raise RefusedError(msg, code="printing")
        run = PrintRun(order, self)
        self._run = run
        self._run_over.clear()
        if self._suspending:
            run.want(Wanted.SUSPEND)
        try:
            outcome = await run.execute()
        finally:
            self._run = None
            self._resume_expected = False
            self._run_over.set()
        self._log.info(
            "print_over", print=order.record.print_id, outcome=outcome.state.value, detail=outcome.detail
        )
        if self._shown.state is not PrinterState.HALTED:
            self.set_state(PrinterState.IDLE if self._connection.link is not None else PrinterState.OFFLINE)
        return outcome

    async def pause(self, reason: Reason | None = Reason.USER, detail: str = "") -> None:
        """Pause the running print: park and wait."""
        run = self._running()
        if self._shown.state in (PrinterState.PAUSED, PrinterState.PAUSING):
            msg = "the print is already paused"
            raise RefusedError(msg, code="paused", remedy="use `fabunit resume`")
        run.want(Wanted.PAUSE, reason, detail)

    async def resume(self) -> None:
        """Go on with a paused print."""
        run = self._running()
        if run.wanted is not Wanted.PAUSE:
            msg = "the print is not paused"
            raise RefusedError(msg, code="not_paused")
        run.want(Wanted.RUN)

    async def cancel(self, reason: Reason = Reason.USER, detail: str = "") -> None:
        """End the running print: park, heaters off."""
        self._running().want(Wanted.CANCEL, reason, detail)

    async def suspend(self, timeout_s: float = 10.0) -> None:
        """The daemon stops: bring the running print to a safe point that the next daemon can take over."""
        self._suspending = True
        if self._run is None:
            return
        self._run.want(Wanted.SUSPEND)
        try:
            async with asyncio.timeout(timeout_s):
                await self._run_over.wait()
        except TimeoutError:
            self._log.warning("print_not_at_a_safe_point", line=self._run.line(self._connection.link))

    async def close(self) -> None:
        """Let the port go; what the printer is doing goes on."""
        self._connector.give_up()
        if self._connection.link is not None:
            await self._connection.link.close()

    async def stop(self, reason: Reason = Reason.EMERGENCY_STOP, detail: str = "emergency stop") -> None:
        """Emergency stop, ahead of everything."""
        if self._connection.link is None and self._cut_power is None:
            msg = "no printer is connected: nothing can be sent to it"
            raise RefusedError(msg, code="offline", remedy="switch the printer off at its mains switch")
        self._halt(reason, detail)

    def _halt(self, reason: Reason, detail: str) -> None:
        if self._connection.link is not None:
            resets = self.habits.stop_resets
            if resets is None:
                resets = self._connector.stop_path.parser is not EmergencyParser.PROVEN
            self._connection.link.emergency(resets_board=resets)
        if self._cut_power is not None:
            self._cut_power(detail)
        if self._run is not None:
            self._run.stopped(reason, detail)
        self.set_state(PrinterState.HALTED, f"{detail}; {HALT_REMEDY}")

    def _running(self) -> PrintRun:
        if self._run is None:
            msg = "nothing is being printed"
            raise RefusedError(msg, code="not_printing")
        return self._run

    # -- what the printer says ------------------------------------------------------------------------------------

    def _on_reply(self, reply: Reply) -> None:
        now = time.monotonic()
        self._tracked = track(self._tracked, reply, now)
        if isinstance(reply, TemperatureReport):
            self._alarms(self._heat.report(reply, now))
        if isinstance(reply, Halted) and self._shown.state is not PrinterState.HALTED:
            self.set_state(
                PrinterState.HALTED, f"{halt_words(self._tracked, reply.text, now)}; {HALT_REMEDY}"
            )
        run = self._run
        if run is None:
            return
        match reply:
            case Action(name="pause" | "paused"):
                run.want(Wanted.PAUSE, Reason.FILAMENT, "the printer asked for a pause")
            case Action(name="resume" | "resumed") if run.wanted is Wanted.PAUSE:
                run.want(Wanted.RUN)
            case Action(name="cancel"):
                run.want(Wanted.CANCEL, Reason.USER, "cancelled at the printer")
            case PrinterError(severity=ErrorSeverity.JOB_WRONG, text=text):
                loop = asyncio.get_running_loop()
                loop.call_later(ERROR_DOUBT_S, self._believe_error, run, text, self._troubles())
            case PrinterError(severity=ErrorSeverity.STOPPED, text=text):
                run.want(Wanted.CANCEL, Reason.PRINTER_ERROR, text)

    def _believe_error(self, run: PrintRun, text: str, troubles: int) -> None:
        """Pause for an error of the firmware, unless it was a damaged refusal of a line: that leads to a resend."""
        if self._run is run and self._troubles() == troubles:
            run.want(Wanted.PAUSE, Reason.PRINTER_ERROR, text)

    def _troubles(self) -> int:
        link = self._connection.link
        return link.engine.resends + link.engine.timeouts if link is not None else 0

    # -- once a second --------------------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._tick(time.monotonic())

    async def _tick(self, now: float) -> None:
        link = self._connection.link
        if link is None:
            return
        self._samples.append(Sample(now, self._tracked.temperatures))
        self._judge_line(link)
        if not self._connector.reports_by_itself(link.identity) and now - self._last_poll >= POLL_EVERY_S:
            self._last_poll = now
            link.poll_temperatures()
        in_use = self._run is not None and self._shown.state is not PrinterState.PAUSED
        alarms, forgotten = self._heat.second(self._tracked, now, Surroundings(in_use, link.is_blocked))
        self._alarms(alarms)
        if forgotten:
            paused = self._run is not None
            orders = procedures.nozzles_off(self.profile) if paused else procedures.cool_down(self.profile)
            await self._cool_quietly(orders, f"nothing was printed for {self.profile.idle_timeout_s:.0f} s")

    def _judge_line(self, link: PrinterLink) -> None:
        report = self._line.look(link.engine)
        if report is not None:
            self._log.warning("line_quality", state=report.state.value, detail=report.detail, **report.data())
            self._on_line(report)

    def _alarms(self, alarms: list[Alarm]) -> None:
        """Act on broken safety rules: end the print and cool down first, halt the board when that has not helped."""
        for alarm in alarms:
            self._log.error("heat_alarm", fault=alarm.fault.value, heater=alarm.heater, detail=alarm.detail)
            if alarm.action is HeatAction.HALT:
                self._halt(alarm.kind, alarm.detail)
            elif self._run is not None:
                self._run.want(Wanted.CANCEL, alarm.kind, alarm.detail)
            else:
                orders = procedures.cool_down(self.profile)
                self._cooling = asyncio.ensure_future(self._cool_quietly(orders, alarm.detail))

    async def _cool_quietly(self, orders: list[str], detail: str) -> None:
        try:
            link = await self._idle_link()
            for order in orders:
                await link.command(order)
        except FabunitError as error:
            self._log.warning("cooling_failed", detail=detail, error=error.message)

    # -- views ----------------------------------------------------------------------------------------------------

    def samples(self) -> Sequence[Sample]:
        """The last ten minutes, one sample a second."""
        return list(self._samples)

    @property
    def beats(self) -> int:
        """Rises while the printer thread lives."""
        return self._connection.link.beats if self._connection.link is not None else 0

    def is_beating(self, before: int) -> bool:
        """Whether the printer thread, or the search for a printer, has moved since `beats` was `before`."""
        if self._connection.link is None:
            return not self._connection.is_stuck(time.monotonic())
        return self._connection.link.beats != before

    def warnings(self) -> Sequence[str]:
        """Sentences about the connection that a person should read."""
        report = self._line.report
        return [report.detail] if report is not None and report.state is not LineState.GOOD else []

    def transcript_tail(self, n: int) -> Sequence[TranscriptEntry]:
        """The last lines that crossed the wire."""
        return [views.entry(line, _wall_ms()) for line in self.transcript.tail(n)]

    async def subscribe(self) -> AsyncIterator[TranscriptEntry]:
        """Lines as they cross the wire, from now on."""
        cursor = self.transcript.end()
        while True:
            lines, cursor = self.transcript.since(cursor)
            for line in lines:
                yield views.entry(line, _wall_ms())
            await asyncio.sleep(CONSOLE_POLL_S)

    def snapshot(self) -> PrinterSnapshot:
        """The present state as one value."""
        link, run = self._connection.link, self._run
        state = self._shown.state
        if self._tracked.waiting_for_user and state is PrinterState.PRINTING:
            state = PrinterState.ATTENTION
        seen = views.snapshot(link, self._tracked, state, self._shown.detail)
        progress = None
        if run is not None:
            moving = state is PrinterState.PRINTING and link is not None and not link.is_blocked
            progress = run.meter.tick(run.line(link), time.monotonic(), moving=moving)
        return replace(seen, port=self._connector.spec, health=self._health(), progress=progress)

    def _health(self) -> PortHealth:
        link = self._connection.link
        return views.health(link.engine if link is not None else None, self._connection.reconnects)


def _wall_ms() -> int:
    """Unix time of monotonic zero, in milliseconds."""
    return int((time.time() - time.monotonic()) * 1000)
