"""What becomes of the line to the printer and of its power, as durable events. A side service: a print never waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent.domain.events import EventDraft, EventType
from agent.jobs.queue import Queue
from agent.printer.line_quality import LineReport

MOST_WAITING = 32
"""Reports while the database is busy; a line changes its state a few times an hour."""


class PortJournal:
    """Writes facts in the order they came, each with the print that runs; event loop only."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: asyncio.Queue[EventDraft] = asyncio.Queue(MOST_WAITING)

    def line(self, report: LineReport) -> None:
        """Note that the line has become worse or better."""
        self.note(EventDraft(EventType.PORT, report.detail, state=f"line_{report.state}", data=report.data()))

    def note(self, draft: EventDraft) -> None:
        """Keep a fact for writing; the oldest gives way when too many wait."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(draft)

    async def run(self) -> None:
        """Write until cancelled. Raises StorageError; the fact is lost then, the log has it."""
        while True:
            draft = await self._waiting.get()
            running = await self._queue.running()
            if running is not None:
                job, record = running.job, running.record
                draft = replace(draft, job_id=job.job_id, rev=job.rev, print_id=record.print_id)
            await self._queue.record(draft)
