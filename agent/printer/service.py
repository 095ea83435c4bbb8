"""The printer as the rest of the daemon sees it: keeps the connection, prints files, answers people, watches heat.

Event loop only. Everything that touches the wire happens in the printer thread behind `PrinterLink`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog

from agent.domain.errors import FabunitError, PortError, RefusedError
from agent.domain.job import Reason
from agent.domain.printer import (
    Direction,
    PortHealth,
    PrinterSnapshot,
    PrinterState,
    Sample,
    TranscriptEntry,
)
from agent.domain.prints import PrintOrder, PrintOutcome
from agent.domain.profile import PrinterProfile
from agent.printer import commands
from agent.printer.connector import Connector
from agent.printer.engine_events import Failed, Verdict
from agent.printer.handshake import Answered
from agent.printer.link import PrinterLink
from agent.printer.port import Port
from agent.printer.print_run import HOST_BASES, PrintRun, Wanted
from agent.printer.replies import Action, ErrorSeverity, PrinterError, Reply, TemperatureReport
from agent.printer.runner import RunnerCrashed
from agent.printer.tracker import Tracked, answered, track
from agent.printer.transcript import Transcript
from agent.printer.transcript import TranscriptEntry as WireLine
from agent.printer.safety import Action as HeatAction
from agent.printer.safety import Alarm, HeaterWatch, IdleHeat, limits_of

TICK_S = 1.0
SAMPLES = 600
"""Ten minutes of one-second samples for the live view."""
BACKOFF_FIRST_S = 0.25
BACKOFF_MOST_S = 10.0
HALTED_RETRY_S = 5.0
"""A halted board is asked this often whether somebody has reset it."""
POLL_EVERY_S = 3.0
"""Temperature polling where the firmware cannot report by itself."""
CONSOLE_POLL_S = 0.1
NOISY_RESENDS_PER_1000 = 5.0
NOISY_LINES = 500
"""A line that loses more than this over so many lines has a bad cable, and is reported before it kills a print."""


class PrinterService:
    """One printer. `run` keeps it connected; the other methods may be called at any time."""

    def __init__(
        self, profile: PrinterProfile, connector: Connector, *, resume_expected: bool = False
    ) -> None:
        self.profile = profile
        self.transcript = Transcript()
        self.unanswered_since: float | None = None
        self._connector = connector
        self._resume_expected = resume_expected
        self._log = structlog.get_logger("printer")
        self._link: PrinterLink | None = None
        self._ready = asyncio.Event()
        self._wake = asyncio.Event()
        self._connected_wanted = True
        self._reset_wanted = False
        self._state = PrinterState.OFFLINE
        self._detail = ""
        self._tracked = Tracked()
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._run: PrintRun | None = None
        self._run_over = asyncio.Event()
        self._suspending = False
        self._cooling: asyncio.Future[None] | None = None
        self._heat = HeaterWatch(limits_of(profile))
        self._idle_heat = IdleHeat(profile.idle_timeout_s)
        self._reconnects = 0
        self._last_poll = 0.0
        self._random = random.SystemRandom()

    # -- keeping the connection ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the printer connected and watched until cancelled. Raises when the printer thread has a defect."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_connected(), name="connection")
            tasks.create_task(self._tick_forever(), name="printer-tick")

    async def _keep_connected(self) -> None:
        backoff = BACKOFF_FIRST_S
        while True:
            if not self._connected_wanted:
                self.set_state(PrinterState.OFFLINE, "disconnected on request")
                await self._woken(None)
                continue
            link = await self._connect_once()
            if link is None:
                halted = self._state is PrinterState.HALTED
                await self._woken(HALTED_RETRY_S if halted else backoff)
                backoff = min(backoff * 2, BACKOFF_MOST_S)
                continue
            backoff = BACKOFF_FIRST_S
            try:
                await self._serve(link)
            finally:
                await self._drop(link)

    async def _connect_once(self) -> PrinterLink | None:
        if self._state is not PrinterState.HALTED and self._run is None:
            self.set_state(PrinterState.CONNECTING, self._detail)
        reset, self._reset_wanted = self._reset_wanted, False
        try:
            port, identity = await asyncio.to_thread(
                self._connector.connect, self.transcript, reset=reset, known_only=self._run is not None
            )
        except PortError as error:
            self._offline(error)
            return None
        self.unanswered_since = None
        return self._adopt(port, identity)

    def _adopt(self, port: Port, identity: Answered) -> PrinterLink:
        size = self._connector.window(identity)
        link = PrinterLink(port, identity, size, self.transcript, self._on_reply)
        self._tracked = Tracked(temperatures=self._tracked.temperatures, message=self._tracked.message)
        link.start()
        self._log.info("printer_connected", port=port.identity, baud=port.baud, dialect=identity.dialect.name)
        return link

    async def _serve(self, link: PrinterLink) -> None:
        """A connection is up: let prints use it until it falls."""
        self._link = link
        self._heat = HeaterWatch(limits_of(self.profile), self._connector.model_speed(link.identity))
        self._heat.restart(time.monotonic())
        if self._run is None:
            self.set_state(PrinterState.IDLE)
            if not self._resume_expected:
                await self._host_session(link)
        self._ready.set()
        while self._connected_wanted and not link.down.done():
            woken = asyncio.ensure_future(self._wake.wait())
            ends: list[asyncio.Future[Any]] = [link.down, woken]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
                self._wake.clear()
        if link.down.done():
            self._fallen(link)

    def _fallen(self, link: PrinterLink) -> None:
        event = link.down.result()
        self._log.warning("printer_connection_fell", detail=event.detail)
        if isinstance(event, RunnerCrashed):
            msg = f"the printer thread has ended: {event.detail}"
            raise FabunitError(msg, code="printer_thread", remedy="The daemon restarts; please report this.")
        if isinstance(event, Failed) and event.verdict is Verdict.HALTED:
            self.set_state(PrinterState.HALTED, event.detail)
        elif self._run is None:
            self.set_state(PrinterState.CONNECTING, event.detail)

    async def _drop(self, link: PrinterLink) -> None:
        self._ready.clear()
        self._link = None
        self._reconnects += 1
        await link.close()

    def _offline(self, error: PortError) -> None:
        if error.code not in _UNANSWERED:
            self.unanswered_since = None
        elif self.unanswered_since is None:
            self.unanswered_since = time.monotonic()
        if error.code == "printer_halted":
            self.set_state(PrinterState.HALTED, error.message)
        elif self._state is not PrinterState.HALTED:
            if self._detail != error.message:
                self._log.warning("printer_not_connected", detail=error.message, remedy=error.remedy)
            if self._run is None:
                self.set_state(PrinterState.OFFLINE, error.message)

    async def _woken(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    # -- PrinterAccess: what a print run needs --------------------------------------------------------------------

    @property
    def tracked(self) -> Tracked:
        """What the replies have said so far."""
        return self._tracked

    async def ready_link(self, timeout_s: float) -> PrinterLink | None:
        """An answering connection, or None when there was none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._link is None or self._link.down.done():
                    self._ready.clear() if self._link is None else None
                    await self._ready.wait()
                    await asyncio.sleep(0)
                return self._link
        except TimeoutError:
            return None

    def set_state(self, state: PrinterState, detail: str = "") -> None:
        """Show this state."""
        if (state, detail) != (self._state, self._detail):
            self._log.info("printer_state", state=state.value, detail=detail)
        self._state, self._detail = state, detail

    def host_base(self) -> int:
        """A random base for a session of host commands."""
        return self._random.randrange(HOST_BASES.start, HOST_BASES.stop - 100_000)

    # -- printing -----------------------------------------------------------------------------------------------

    async def wait_idle(self) -> None:
        """Return when connected and able to begin a print."""
        while self._state is not PrinterState.IDLE or self._link is None:
            await self._ready.wait()
            await asyncio.sleep(TICK_S / 4)

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
        if self._state is not PrinterState.HALTED:
            self.set_state(PrinterState.IDLE if self._link is not None else PrinterState.OFFLINE)
        return outcome

    async def pause(self, reason: Reason | None = Reason.USER, detail: str = "") -> None:
        """Pause the running print: park and wait."""
        run = self._running()
        if self._state in (PrinterState.PAUSED, PrinterState.PAUSING):
            msg = "the print is already paused"
            raise RefusedError(msg, code="paused", remedy="Use `fabunit resume`.")
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
            self._log.warning("print_not_at_a_safe_point", line=self._run.line(self._link))

    async def close(self) -> None:
        """Let the port go; what the printer is doing goes on."""
        if self._link is not None:
            await self._link.close()

    async def stop(self, reason: Reason = Reason.EMERGENCY_STOP, detail: str = "emergency stop") -> None:
        """Emergency stop, ahead of everything."""
        if self._link is None:
            msg = "no printer is connected: nothing can be sent to it"
            raise RefusedError(msg, code="offline", remedy="Switch the printer off at its mains switch.")
        self._halt(reason, detail)

    def _halt(self, reason: Reason, detail: str) -> None:
        if self._link is not None:
            self._link.emergency()
        if self._run is not None:
            self._run.stopped(reason, detail)
        self.set_state(PrinterState.HALTED, f"{detail}; reset the printer, then `fabunit printer connect`")

    def _running(self) -> PrintRun:
        if self._run is None:
            msg = "nothing is being printed"
            raise RefusedError(msg, code="not_printing")
        return self._run

    # -- direct control -----------------------------------------------------------------------------------------

    async def connect(self, port: str | None = None) -> None:
        """Connect (again); a halted board is reset through DTR where the port can do that."""
        if port is not None:
            self._connector.use(port)
        self._reset_wanted = self._state is PrinterState.HALTED
        self._connected_wanted = True
        self._wake.set()

    async def disconnect(self) -> None:
        """Let the port go; refused while printing."""
        if self._run is not None:
            msg = "the printer is printing"
            raise RefusedError(msg, code="printing", remedy="Cancel the print first.")
        self._connected_wanted = False
        self._wake.set()

    async def command(self, line: str) -> list[str]:
        """One console line under the safety rules; returns the printer's reply lines."""
        text = commands.checked(line, self.profile, self.dialect_name)
        return await (await self._idle_link()).command(text)

    async def home(self, axes: str = "") -> None:
        """Home all axes, or those named (any of XYZ)."""
        await (await self._idle_link()).command(commands.home(axes))

    async def heat(self, heater: str, celsius: float) -> None:
        """Set one target; refused above the profile's limit."""
        await (await self._idle_link()).command(commands.heat(heater, celsius, self.profile))

    async def cool(self) -> None:
        """All heaters and the part fan off."""
        link = await self._idle_link()
        for command in commands.cool(self.profile):
            await link.command(command)

    async def answer_prompt(self, choice: int) -> None:
        """Answer the printer's question with the choice of this index."""
        link = self._connected()
        prompt = self._tracked.prompt
        if prompt is None:
            msg = "the printer does not ask anything"
            raise RefusedError(msg, code="no_prompt")
        link.urgent(commands.answer(choice, prompt, link.identity))
        self._tracked = answered(self._tracked)

    def _connected(self) -> PrinterLink:
        if self._link is None:
            msg = f"no printer is connected ({self._detail or self._state.value})"
            raise RefusedError(msg, code="offline", remedy="See `fabunit printer info` and `fabunit ports`.")
        return self._link

    async def _idle_link(self) -> PrinterLink:
        link = self._connected()
        if self._run is not None and self._state is not PrinterState.PAUSED:
            msg = f"the printer is {self._state.value}"
            raise RefusedError(msg, code="printing", remedy="Pause or cancel the print first.")
        if self._run is None:
            await self._host_session(link)
        return link

    async def _host_session(self, link: PrinterLink) -> None:
        if link.engine.base not in HOST_BASES:
            await link.open_session(self.host_base())

    # -- what the printer says ------------------------------------------------------------------------------------

    def _on_reply(self, reply: Reply) -> None:
        now = time.monotonic()
        self._tracked = track(self._tracked, reply, now)
        if isinstance(reply, TemperatureReport):
            targets = any(reading.target for reading in reply.heaters.values()) or not reply.waiting
            self._alarms(self._heat.observe(reply.heaters, now, has_targets=targets))
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
                run.want(Wanted.PAUSE, Reason.PRINTER_ERROR, text)
            case PrinterError(severity=ErrorSeverity.STOPPED, text=text):
                run.want(Wanted.CANCEL, Reason.PRINTER_ERROR, text)

    # -- once a second --------------------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._tick(time.monotonic())

    async def _tick(self, now: float) -> None:
        link = self._link
        if link is None:
            return
        self._samples.append(Sample(now, self._tracked.temperatures))
        if not self._connector.reports_by_itself(link.identity) and now - self._last_poll >= POLL_EVERY_S:
            self._last_poll = now
            link.poll_temperatures()
        self._alarms(self._heat.tick(now, blocked=link.is_blocked))
        in_use = self._run is not None and self._state is not PrinterState.PAUSED
        idle = self._idle_heat.observe(self._tracked.temperatures, now, in_use=in_use)
        if idle:
            await self._cool_quietly(f"nothing was printed for {self.profile.idle_timeout_s:.0f} s")

    def _alarms(self, alarms: list[Alarm]) -> None:
        """Act on broken safety rules: end the print and cool down first, halt the board when that has not helped."""
        for alarm in alarms:
            self._log.error("heat_alarm", fault=alarm.fault.value, heater=alarm.heater, detail=alarm.detail)
            if alarm.action is HeatAction.HALT:
                self._halt(alarm.kind, alarm.detail)
            elif self._run is not None:
                self._run.want(Wanted.CANCEL, alarm.kind, alarm.detail)
            else:
                self._cooling = asyncio.ensure_future(self._cool_quietly(alarm.detail))

    async def _cool_quietly(self, detail: str) -> None:
        try:
            await self.cool()
        except FabunitError as error:
            self._log.warning("cooling_failed", detail=detail, error=error.message)

    # -- views ----------------------------------------------------------------------------------------------------

    def samples(self) -> Sequence[Sample]:
        """The last ten minutes, one sample a second."""
        return list(self._samples)

    @property
    def beats(self) -> int:
        """Rises while the printer thread lives."""
        return self._link.beats if self._link is not None else 0

    def is_beating(self, before: int) -> bool:
        """Whether the printer thread has done something since `beats` was `before` (no thread, no doubt)."""
        return self._link is None or self._link.beats != before

    @property
    def dialect_name(self) -> str:
        """The firmware's dialect; empty while no printer is connected."""
        return self._link.identity.dialect.name if self._link is not None else ""

    def warnings(self) -> Sequence[str]:
        """Sentences about the connection that a person should read."""
        return port_warnings(self._health(self._link))

    def transcript_tail(self, n: int) -> Sequence[TranscriptEntry]:
        """The last lines that crossed the wire."""
        return [_entry(line) for line in self.transcript.tail(n)]

    async def subscribe(self) -> AsyncIterator[TranscriptEntry]:
        """Lines as they cross the wire, from now on."""
        cursor = self.transcript.end()
        while True:
            lines, cursor = self.transcript.since(cursor)
            for line in lines:
                yield _entry(line)
            await asyncio.sleep(CONSOLE_POLL_S)

    def snapshot(self) -> PrinterSnapshot:
        """The present state as one value."""
        link, run, tracked = self._link, self._run, self._tracked
        state, detail = self._state, self._detail
        if tracked.waiting_for_user and state is PrinterState.PRINTING:
            state, detail = (
                PrinterState.ATTENTION,
                tracked.prompt.text if tracked.prompt else "waits for a person",
            )
        progress = None
        if run is not None:
            moving = state is PrinterState.PRINTING and link is not None and not link.is_blocked
            progress = run.meter.tick(run.line(link), time.monotonic(), moving=moving)
        return PrinterSnapshot(
            state=state,
            detail=detail,
            port=self._connector.spec,
            port_id=link.port_id if link else "",
            baud=link.baud if link else 0,
            dialect=link.identity.dialect.name if link else "",
            firmware=link.identity.firmware if link else None,
            temperatures=tracked.temperatures if link else {},
            position=tracked.position,
            prompt=tracked.prompt,
            message=tracked.message,
            health=self._health(link),
            progress=progress,
        )

    def _health(self, link: PrinterLink | None) -> PortHealth:
        if link is None:
            return PortHealth(reconnects=self._reconnects)
        engine = link.engine
        latency = engine.pace.latency
        return PortHealth(
            lines_sent=engine.window.sent,
            lines_acked=engine.window.acked,
            resends=engine.resends,
            timeouts=engine.timeouts,
            garbled=engine.garbled,
            ok_p50_ms=round(latency.percentile_s(0.5) * 1000, 3),
            ok_p99_ms=round(latency.percentile_s(0.99) * 1000, 3),
            reconnects=self._reconnects,
        )


def port_warnings(health: PortHealth) -> list[str]:
    """What the counters of a connection say about the cable."""
    if health.lines_sent < NOISY_LINES:
        return []
    per_thousand = 1000 * health.resends / health.lines_sent
    if per_thousand < NOISY_RESENDS_PER_1000:
        return []
    return [
        f"the line to the printer is noisy: {per_thousand:.0f} of 1,000 lines were sent again; "
        "try another USB cable or port"
    ]


def _entry(line: WireLine) -> TranscriptEntry:
    age_s = time.monotonic() - line.t_s
    return TranscriptEntry(int((time.time() - age_s) * 1000), _DIRECTIONS[line.direction], line.text)


_UNANSWERED = ("port_silent", "port_wrong_baud")
_DIRECTIONS = {">": Direction.SENT, "<": Direction.RECEIVED, "!": Direction.NOTE}
