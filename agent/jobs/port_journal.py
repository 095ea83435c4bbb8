"""What becomes of the line to the printer, as durable events. A side service: a print never waits for it."""

from __future__ import annotations

import asyncio

from agent.domain.events import EventDraft, EventType
from agent.jobs.queue import Queue
from agent.printer.line_quality import LineReport

MOST_WAITING = 32
"""Reports while the database is busy; a line changes its state a few times an hour."""


class PortJournal:
    """Writes reports of the line in the order they came; event loop only."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: asyncio.Queue[LineReport] = asyncio.Queue(MOST_WAITING)

    def note(self, report: LineReport) -> None:
        """Keep a report for writing; the oldest gives way when too many wait."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(report)

    async def run(self) -> None:
        """Write until cancelled. Raises StorageError; the report is lost then, the log has it."""
        while True:
            report = await self._waiting.get()
            running = await self._queue.running()
            await self._queue.record(
                EventDraft(
                    EventType.PORT,
                    report.detail,
                    job_id=running.job.job_id if running else None,
                    rev=running.job.rev if running else None,
                    print_id=running.record.print_id if running else None,
                    state=f"line_{report.state}",
                    data=report.data(),
                )
            )
