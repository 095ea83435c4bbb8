"""Reports of the line become durable events."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.domain.events import EventType
from agent.jobs.port_journal import MOST_WAITING, PortJournal
from agent.jobs.queue import Queue
from agent.printer.line_quality import LineReport, LineState
from agent.storage.clock import SystemClock
from agent.storage.database import Database


def report(resends: int, state: LineState = LineState.NOISY) -> LineReport:
    return LineReport(state, 500, resends, 0, {"p50": 4.0, "p90": 5.0, "p99": 9.0})


async def test_reports_are_written_in_order_and_the_oldest_gives_way(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "fabunit.db")
    queue = Queue(database, SystemClock())
    await queue.open()
    journal = PortJournal(queue)
    for resends in range(1, MOST_WAITING + 2):
        journal.line(report(resends))
    journal.line(report(0, LineState.GOOD))
    writing = asyncio.create_task(journal.run())
    async with asyncio.timeout(10):
        while len(await queue.events_after(0)) < MOST_WAITING:
            await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    events = await queue.events_after(0)
    assert {event.type for event in events} == {EventType.PORT}
    assert [event.data["resends"] for event in events] == [*range(3, MOST_WAITING + 2), 0]
    assert (events[0].state, events[-1].state) == ("line_noisy", "line_good")
    assert events[0].job_id is None
    await database.close()
