"""Keeps the times of orders: `not_before` and `expires`, also while the clock is not set."""

from __future__ import annotations

import structlog

from agent.coordinator.documents import JobDocument
from agent.coordinator.timing import CoordinatorClock, Timeliness, Window, judge
from agent.domain.errors import FabunitError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.queue import Queue
from agent.storage import inbox as inbox_rows
from agent.storage import jobs as job_rows
from agent.storage.clock import Clock
from agent.storage.database import Connection, Database
from agent.storage.inbox import Entry

_WAITING = tuple(state.value for state in JobState if state.is_waiting or state is JobState.HELD)
WAIT_DETAIL = {
    Timeliness.EARLY: "its time has not come yet",
    Timeliness.UNKNOWN: "this unit's clock is not set: whether its time has come cannot be told",
}

_log = structlog.get_logger(__name__)


class TimeKeeper:
    """Moves waiting orders when their time comes or is over; event loop only."""

    def __init__(
        self, queue: Queue, database: Database, clock: Clock, coordinator_clock: CoordinatorClock
    ) -> None:
        self._queue = queue
        self._database = database
        self._clock = clock
        self._time = coordinator_clock

    async def keep(self) -> None:
        """Expire orders that are too late, release those whose time has come, hold those that are too early."""
        now = self._time.now(self._clock.stamp())

        def read(connection: Connection) -> list[tuple[Window, Job]]:
            found = []
            for times in inbox_rows.timed(connection, _WAITING):
                job = job_rows.get(connection, times.job_id)
                if job is not None:
                    found.append(
                        (Window(times.not_before, times.expires, times.expires_mono_ms, times.boot), job)
                    )
            return found

        for times, job in await self._database.read(read):
            event = _timed(job, judge(times, now))
            if event is None:
                continue
            try:
                await self._queue.apply(job.job_id, event)
            except FabunitError as error:
                _log.info("time_not_kept", job_id=job.job_id, detail=error.message)


def window(document: JobDocument, entry: Entry) -> Window:
    """Return when an order may be carried out."""
    return Window(document.not_before, document.expires, entry.expires_mono_ms, entry.boot)


def _timed(job: Job, timeliness: Timeliness) -> JobEvent | None:
    """What the time does to a waiting job."""
    is_waiting_for_time = job.state is JobState.HELD and job.reason is Reason.NOT_BEFORE
    match timeliness:
        case Timeliness.LATE:
            return JobEvent(Trigger.EXPIRED, Reason.EXPIRED, "its time is over")
        case Timeliness.DUE if is_waiting_for_time:
            return JobEvent(Trigger.RELEASED)
        case Timeliness.EARLY | Timeliness.UNKNOWN if job.state is not JobState.HELD:
            return JobEvent(Trigger.HELD, Reason.NOT_BEFORE, WAIT_DETAIL[timeliness])
        case _:
            return None
