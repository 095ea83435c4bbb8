"""Print runs on a bench: the virtual printer, a small printer access, and what a run writes down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.domain.job import Reason
from agent.domain.printer import PrinterState
from agent.domain.prints import LastContact, PrintOrder, PrintOutcome, PrintRecord, PrintState, SalvagePlan
from agent.domain.profile import PrinterProfile
from agent.printer.dialects import MARLIN_2, Dialect, by_name
from agent.printer.link import PrinterLink
from agent.printer.print_access import PrintHabits
from agent.printer.print_run import PrintRun
from agent.printer.replies import Reply
from agent.printer.tracker import Tracked, track
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize
from tests.unit.printer.prepared_files import answered, prepared_of, profile, write
from tests.unit.printer.sim_printer import SimPrinter

BASE = 21_000
LINES = [
    b"G28",
    b"G90",
    b"M83",
    *(b"G1 X%d.%d Y50 F6000" % (50 + i % 100, i % 10) for i in range(900)),
    b"M107",
]


class Access:
    """What a run needs of the printer service, around one virtual printer."""

    unanswered_since: float | None = None
    habits = PrintHabits()

    def __init__(self, printer: SimPrinter, dialect: Dialect = MARLIN_2) -> None:
        self.profile: PrinterProfile = profile()
        self.tracked = Tracked()
        self.dialect_name = dialect.name
        self.states: list[PrinterState] = []
        self.link: PrinterLink | None = None
        self.links = 0
        self.greeted = False
        self.away = False
        self._printer = printer
        self._dialect = dialect
        self._bases = iter(range(2_000_000, 9_000_000, 1000))

    async def ready_link(self, timeout_s: float) -> PrinterLink | None:
        while self.away:
            await asyncio.sleep(0.002)
        if self.link is None or self.link.down.done():
            await self.close()
            counter = self._printer.last_line() if self._dialect.counter else None
            identity = answered(counter, self._dialect, restarted=self.greeted)
            size = WindowSize(self._dialect.window_lines, self._dialect.window_bytes)
            self.link = PrinterLink(self._printer.plug(), identity, size, Transcript(), self._heard)
            self.link.start()
            self.links += 1
        return self.link

    def _heard(self, reply: Reply) -> None:
        self.tracked = track(self.tracked, reply, time.monotonic())

    def set_state(self, state: PrinterState, detail: str = "") -> None:
        self.states.append(state)

    def host_base(self) -> int:
        return next(self._bases)

    async def close(self) -> None:
        if self.link is not None:
            await self.link.close()


class Bench:
    """A printer, prints on it, and what they write down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printer = SimPrinter(speed=25.0)
        self.access = Access(self.printer)
        self.pauses: list[bool] = []
        self.checkpoints: list[str | None] = []
        self.path = write(folder / "part", LINES)
        self.prepared = prepared_of(LINES, 100)
        self.gap_s: float | None = 1.0

    def use(self, board: str, dialect: str) -> None:
        known = by_name(dialect)
        assert known is not None
        self.printer.close()
        self.printer = SimPrinter(dialect=board)
        self.access = Access(self.printer, known)

    def run(self, resume: bool = False, salvage: SalvagePlan | None = None, **record: Any) -> PrintRun:
        values: dict[str, Any] = {"state": PrintState.PRINTING, "reason": None, **record}
        order = PrintOrder(
            record=PrintRecord(
                print_id="p",
                job_id="j",
                copy=1,
                prepared_sha256=self.prepared.sha256,
                lines=self.prepared.lines,
                base=BASE,
                port_id="",
                detail="",
                started_ms=0,
                ended_ms=None,
                **values,
            ),
            path=self.path,
            prepared=self.prepared,
            resume=resume,
            on_pause=self._on_pause,
            checkpoint=self._checkpoint,
            contact=LastContact(0, self.gap_s, time.monotonic()) if resume else None,
            salvage=salvage,
        )
        return PrintRun(order, self.access)

    async def _on_pause(self, paused: bool, reason: Reason | None, detail: str) -> None:
        self.pauses.append(paused)

    async def _checkpoint(self, text: str | None) -> None:
        self.checkpoints.append(text)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not happened():
                await asyncio.sleep(0.002)

    async def until_executed(self, count: int) -> None:
        await self.until(lambda: len(self.printer.executed()) > count)

    async def until_state(self, state: PrinterState) -> None:
        await self.until(lambda: self.access.states[-1:] == [state])

    async def leave_at(self, count: int) -> None:
        """A daemon that is killed after some lines: a link that stops, a board that keeps its counter."""
        task = asyncio.ensure_future(self.run().execute())
        await self.until_executed(count)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.access.close()
        await self.until(self.printer.is_left)

    def count_as(self, number: int) -> None:
        """The board's counter stands here."""
        with self.printer.lock:
            self.printer.firmware.board.counter.last = number


async def over(run: PrintRun) -> PrintOutcome:
    async with asyncio.timeout(30):
        return await run.execute()
