"""Keeping one printer connected: connect, serve until the link falls, connect again. Event loop only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from agent.domain.errors import FabunitError, PortError
from agent.domain.printer import PrinterState
from agent.printer.connector import Connector
from agent.printer.engine_events import Failed, Verdict
from agent.printer.link import PrinterLink
from agent.printer.replies import Reply
from agent.printer.runner import RunnerCrashed
from agent.printer.transcript import Transcript

BACKOFF_FIRST_S = 0.25
BACKOFF_MOST_S = 10.0
BACKOFF_IN_USE_S = 0.5
"""While a print waits for its port: a nozzle stands hot on the part, and the cable may be back any moment."""
HALTED_RETRY_S = 5.0
"""A halted board is asked this often whether somebody has reset it."""
_UNANSWERED = ("port_silent", "port_wrong_baud")


class Shown:
    """The printer's state as people see it; changes are logged, the attempts of a search are none."""

    def __init__(self) -> None:
        self.state = PrinterState.OFFLINE
        self.detail = ""
        self._logged: tuple[PrinterState | None, str] = (None, "")
        self._changed = asyncio.Event()
        self._log = structlog.get_logger("printer")

    def set(self, state: PrinterState, detail: str = "") -> None:
        """Show this state from now on."""
        searching = state is PrinterState.CONNECTING and self._logged[0] is PrinterState.OFFLINE
        if (state, detail) != self._logged and not searching:
            self._logged = (state, detail)
            self._log.info("printer_state", state=state.value, detail=detail)
        self.state, self.detail = state, detail
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(self, state: PrinterState) -> None:
        """Return as soon as this state is shown."""
        while self.state is not state:
            await self._changed.wait()


@dataclass(frozen=True, slots=True)
class LinkListener:
    """What the owner of a connection wants to hear.

    `on_reply` sees what the printer says by itself, `on_link` is awaited for every new link before anybody uses it,
    `in_use` tells whether a print is under way (it decides itself what state to show then).
    """

    on_reply: Callable[[Reply], None]
    on_link: Callable[[PrinterLink], Awaitable[None]]
    in_use: Callable[[], bool]


class Connection:
    """The connection of one unit; at any time it has one link or none."""

    def __init__(
        self, connector: Connector, transcript: Transcript, shown: Shown, listener: LinkListener
    ) -> None:
        self.link: PrinterLink | None = None
        self.reconnects = 0
        self.unanswered_since: float | None = None
        self._connector = connector
        self._transcript = transcript
        self._shown = shown
        self._listener = listener
        self._log = structlog.get_logger("printer")
        self._ready = asyncio.Event()
        self._wake = asyncio.Event()
        self._wanted = True
        self._reset_wanted = False
        self._failure = ""  # why the last attempt has failed

    async def run(self) -> None:
        """Keep connected until cancelled. Raises FabunitError when the printer thread has a defect."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            if not self._wanted:
                self._shown.set(PrinterState.OFFLINE, "disconnected on request")
                await self._woken(None)
                continue
            link = await self._connect_once()
            if link is None:
                halted = self._shown.state is PrinterState.HALTED
                await self._woken(HALTED_RETRY_S if halted else backoff_s)
                most_s = BACKOFF_IN_USE_S if self._listener.in_use() else BACKOFF_MOST_S
                backoff_s = min(backoff_s * 2, most_s)
                continue
            backoff_s = BACKOFF_FIRST_S
            try:
                await self._serve(link)
                # Not when cancelled or failed: the daemon ends then, and the next one finds the port open.
                self._connector.let_go(lines_lost=link.engine.resends, size=link.engine.pace.full)
                await self._connector.memory.save()
            finally:
                self._ready.clear()
                self.link = None
                self.reconnects += 1
                await link.close()

    def is_stuck(self, now: float) -> bool:
        """Whether the search for the printer hangs."""
        return self._connector.is_stuck(now)

    async def ready_link(self, timeout_s: float) -> PrinterLink | None:
        """An answering link, or None when there was none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            return None
        return self.link

    def connect(self, port: str | None) -> None:
        """Connect (to this port, else the one before); a halted board is reset through DTR where that works."""
        if port is not None:
            self._connector.use(port)
        self._reset_wanted = self._shown.state is PrinterState.HALTED
        self._wanted = True
        self._wake.set()

    def disconnect(self) -> None:
        """Let the port go and stay away."""
        self._wanted = False
        self._wake.set()

    async def _connect_once(self) -> PrinterLink | None:
        in_use = self._listener.in_use()
        if self._shown.state is not PrinterState.HALTED and not in_use:
            self._shown.set(PrinterState.CONNECTING, self._shown.detail)
        reset, self._reset_wanted = self._reset_wanted, False
        await self._connector.memory.open()
        try:
            port, identity = await asyncio.to_thread(
                self._connector.connect, self._transcript, reset=reset, known_only=in_use
            )
        except PortError as error:
            self._not_connected(error)
            return None
        self.unanswered_since = None
        self._failure = ""
        size = self._connector.window(identity)
        self._log.info(
            "printer_connected",
            port=port.identity,
            baud=port.baud,
            dialect=identity.dialect.name,
            window=f"{size.lines} lines, {size.bytes} bytes",
        )
        link = PrinterLink(port, identity, size, self._transcript, self._listener.on_reply)
        if self._connector.reports_by_itself(identity):
            link.engine.pace.report_seen()
        return link

    async def _serve(self, link: PrinterLink) -> None:
        """A link is up: let others use it until it falls or nobody wants it any more."""
        link.start()
        self.link = link
        if not self._listener.in_use():
            self._shown.set(PrinterState.IDLE)
        await self._listener.on_link(link)
        self._ready.set()
        await self._connector.memory.save()
        while self._wanted and not link.down.done():
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
            raise FabunitError(msg, code="printer_thread", remedy="the daemon restarts; please report this")
        if isinstance(event, Failed) and event.verdict is Verdict.HALTED:
            if self._shown.state is not PrinterState.HALTED:
                self._shown.set(PrinterState.HALTED, event.detail)
        elif not self._listener.in_use():
            self._shown.set(PrinterState.CONNECTING, event.detail)

    def _not_connected(self, error: PortError) -> None:
        if error.code not in _UNANSWERED:
            self.unanswered_since = None
        elif self.unanswered_since is None:
            self.unanswered_since = time.monotonic()
        if error.code == "printer_halted":
            self._shown.set(PrinterState.HALTED, error.message)
        elif self._shown.state is not PrinterState.HALTED:
            if self._failure != error.message:
                self._failure = error.message
                self._log.warning("printer_not_connected", detail=error.message, remedy=error.remedy)
            if not self._listener.in_use():
                self._shown.set(PrinterState.OFFLINE, error.message)

    async def _woken(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()
