"""What the unit says of itself: description when it changes, samples while watched, blocks for the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.coordinator import home_assistant
from agent.coordinator.availability import Accept
from agent.coordinator.documents import MaterialPart, OutboxPart, Presence, packed
from agent.coordinator.documents.state import PresenceState
from agent.coordinator.messages import Message
from agent.coordinator.recorder import Recorder
from agent.coordinator.spool_keeper import material_parts
from agent.coordinator.topics import Topics
from agent.coordinator.unit_document import UnitFacts, UnitMoment, essence, live_sample, unit_document
from agent.domain.events import ClockState, Stamp
from agent.domain.job import Job
from agent.domain.printer import PrinterSnapshot
from agent.domain.prints import Bed
from agent.domain.telemetry import TelemetryBlock
from agent.storage import jobs as job_rows
from agent.storage import meta
from agent.storage.clock import Clock
from agent.storage.database import Connection, Database
from agent.storage.tally import Tally, tally

# A part that changes state ten times a second must not fill the line; while nothing changes, progress is told now
# and then. Together with the blocks this stays below 150 kB an hour.
LEAST_BETWEEN_S = 10.0
REFRESH_S = 300.0
# What changes unseen (hours of acceptance, warnings) is found at least this often.
LOOK_EVERY_S = 60.0
IDLE_REFRESH_S = 3_600.0
# Nobody wants to see where a printer was some seconds ago.
LIVE_EXPIRY_S = 5
# The description stays readable for tools that only know JSON.
_PACK_ABOVE_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class _Rows:
    jobs: tuple[Job, ...]
    bed: Bed
    tally: Tally
    materials: tuple[MaterialPart, ...]


class Reporter:
    """Composes what goes up; event loop only. `connect` and `outbox` are kept current by the link."""

    def __init__(
        self,
        facts: UnitFacts,
        topics: Topics,
        database: Database,
        clock: Clock,
        *,
        printer: Callable[[], PrinterSnapshot],
        warnings: Callable[[], Sequence[str]],
        free_bytes: Callable[[], int | None],
        recorder: Recorder,
        version: Callable[[], int],
        host: Callable[[], Mapping[str, float]] = dict,
        is_home_shown: bool = False,
    ) -> None:
        self.facts = facts
        self.recorder = recorder
        self.connect = 0
        self.outbox = OutboxPart()
        self._topics = topics
        self._database = database
        self._clock = clock
        self._printer = printer
        self._warnings = warnings
        self._free_bytes = free_bytes
        self._version = version
        self._host = host
        self._is_home_shown = is_home_shown
        self._home_told = b""
        self._home_told_s = float("-inf")
        self._bed = Bed.CLEAR
        self._job_name: str | None = None
        self._told = ""
        self._told_s = float("-inf")
        self._looked_s = float("-inf")
        self._seen: tuple[object, ...] = ()
        self._active_job: str | None = None

    def presence(self, state: PresenceState, reason: str = "") -> Message:
        """Return birth, farewell or last will of the present connection."""
        stamp = self._clock.stamp()
        document = Presence(
            unit=self.facts.unit,
            state=state,
            epoch=self.facts.epoch,
            connect=self.connect,
            since=max(stamp.t_ms, 0),
            reason=reason,
            clk=stamp.clk.value,
        )
        return Message(
            self._topics.presence, document.to_json(), retain=True, content_type="application/json"
        )

    async def description(self, now_s: float) -> Message:
        """Return the description as it is now."""
        rows = await self._database.read(_rows)
        active = next((job for job in rows.jobs if job.state.is_active), None)
        self._active_job = active.job_id if active else None
        self._job_name, self._bed = (active.name if active else None), rows.bed
        stamp = self._clock.stamp()
        document = unit_document(
            self.facts,
            UnitMoment(
                stamp=stamp,
                connect=self.connect,
                printer=self._printer(),
                jobs=rows.jobs,
                materials=list(rows.materials),
                bed=rows.bed.value,
                tally=rows.tally,
                outbox=self.outbox,
                accept=self._accept(stamp),
                warnings=self._warnings(),
                disk_free_bytes=self._free_bytes(),
            ),
        )
        self._told, self._told_s = essence(document), now_s
        payload, content_type = packed(document.to_json(), _PACK_ABOVE_BYTES)
        return Message(self._topics.description, payload, retain=True, content_type=content_type)

    async def changed_description(self, now_s: float) -> Message | None:
        """Return the description if it is worth sending: something changed, or it was long ago."""
        age_s = now_s - self._told_s
        sign = self._sign()
        is_quiet = sign == self._seen and now_s - self._looked_s < LOOK_EVERY_S
        if age_s < LEAST_BETWEEN_S or is_quiet:
            return None
        self._seen, self._looked_s = sign, now_s
        before, before_s = self._told, self._told_s
        message = await self.description(now_s)
        refresh_s = REFRESH_S if self._active_job else IDLE_REFRESH_S
        if self._told == before and age_s < refresh_s:
            self._told_s = before_s
            return None
        return message

    def forget(self) -> None:
        """The next description is sent whatever it says."""
        self._told, self._told_s, self._looked_s = "", float("-inf"), float("-inf")

    def _sign(self) -> tuple[object, ...]:
        """Return what is cheap to ask and changes with most of what is worth telling."""
        seen = self._printer()
        targets = tuple(heater.target for heater in seen.temperatures.values())
        return (self._version(), seen.state, targets)

    def home(self, now_s: float, *, is_new: bool = False) -> list[Message]:
        """Return what Home Assistant is to be told: with a new connection everything, else what has changed."""
        if not self._is_home_shown or (not is_new and now_s - self._home_told_s < LEAST_BETWEEN_S):
            return []
        state = home_assistant.home_state(self._topics, self._printer(), self._job_name, bed=self._bed.value)
        if not is_new and state.payload == self._home_told:
            return []
        self._home_told, self._home_told_s = state.payload, now_s
        return [home_assistant.discovery(self.facts, self._topics), state] if is_new else [state]

    def live(self) -> Message:
        """Return the sample of this second."""
        sample = live_sample(self.facts.unit, self._clock.stamp(), self._printer(), self._active_job)
        return Message(
            self._topics.live,
            sample.to_json(),
            qos=0,
            expiry_s=LIVE_EXPIRY_S,
            content_type="application/json",
        )

    def block(self) -> tuple[TelemetryBlock, Stamp] | None:
        """Look at the printer; return a telemetry block when one is complete."""
        stamp = self._clock.stamp()
        block = self.recorder.sample(self._printer(), self._active_job, stamp, self._host())
        return None if block is None else (block, stamp)

    def _accept(self, stamp: Stamp) -> Accept:
        if stamp.clk is ClockState.UNSYNC and len(set("".join(self.facts.week.days))) > 1:
            return "ask"
        local = datetime.fromtimestamp(stamp.t_ms / 1000).astimezone()
        return self.facts.week.at(local.weekday(), local.hour)


def _rows(connection: Connection) -> _Rows:
    return _Rows(
        job_rows.unfinished(connection), meta.bed(connection), tally(connection), material_parts(connection)
    )
