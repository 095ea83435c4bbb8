"""A unit in memory: real small implementations of the protocols the control API is built on."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.control.unit import JobRequest, UnitFacade, UnitIdentity
from agent.domain.errors import NotFoundError, RefusedError
from agent.domain.events import Event, EventType
from agent.domain.job import Job, JobState, Reason
from agent.domain.printer import (
    Direction,
    FirmwareInfo,
    PortHealth,
    PrinterSnapshot,
    PrinterState,
    PrintProgress,
    Prompt,
    Sample,
    Temperature,
    TranscriptEntry,
)
from agent.domain.prints import PrintRecord, PrintState
from agent.ops.logring import LogRing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from agent.jobs.placement import Place

NOW_MS = 1_790_000_000_000


def make_job(job_id: str, **fields: Any) -> Job:
    """A job with plain values where the test does not care."""
    job = Job(
        job_id=job_id,
        rev=1,
        state=JobState.READY,
        name=f"{job_id}.gcode",
        artefact_sha256="ab" * 32,
        artefact_format="gcode",
        artefact_size=1234,
        copies=1,
        copies_done=0,
        position=1.0,
        priority=0,
        source="local",
        material=None,
        quality=None,
        reason=None,
        detail="",
        held_from=None,
        attempt=1,
        created_ms=NOW_MS,
        updated_ms=NOW_MS,
    )
    return replace(job, **fields)


def make_print(print_id: str, **fields: Any) -> PrintRecord:
    """A finished print."""
    record = PrintRecord(
        print_id=print_id,
        job_id="j-1",
        copy=1,
        state=PrintState.COMPLETED,
        prepared_sha256="cd" * 32,
        lines=100,
        base=1000,
        port_id="usb-1",
        reason=None,
        detail="",
        started_ms=NOW_MS,
        ended_ms=NOW_MS + 60_000,
        receipt='{"state": "completed", "stats": {"resends": 2}}',
    )
    return replace(record, **fields)


@dataclass
class FakeQueue:
    """The queue as a list; records what was asked of it."""

    jobs: list[Job] = field(default_factory=list)
    records: list[PrintRecord] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    bed_state: str = "clear"
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def list(self, *, include_over: bool) -> Sequence[Job]:
        if self.gate is not None:
            await self.gate.wait()
        return [job for job in self.jobs if include_over or not job.state.is_terminal]

    async def get(self, job_id: str) -> Job:
        for job in self.jobs:
            if job.job_id == job_id:
                return job
        raise NotFoundError(f"there is no job {job_id}", remedy="see `fabunit jobs --all`")

    async def hold(self, job_id: str) -> Job:
        return await self._become(job_id, "hold", JobState.HELD)

    async def start(self, job_id: str) -> Job:
        return await self._become(job_id, "start", JobState.READY)

    async def release(self, job_id: str) -> Job:
        return await self._become(job_id, "release", JobState.READY)

    async def cancel(self, job_id: str) -> Job:
        return await self._become(job_id, "cancel", JobState.CANCELLED)

    async def retry(self, job_id: str) -> Job:
        job = await self.get(job_id)
        if not job.state.is_terminal:
            raise RefusedError(
                f"job {job_id} is {job.state}", code="wrong_state", remedy="wait until it is over"
            )
        return await self._become(job_id, "retry", JobState.RECEIVED)

    async def move(self, job_id: str, place: Place) -> Job:
        self.calls.append(("move", job_id, place.before, place.to))
        return await self.get(job_id)

    async def bed(self) -> str:
        return self.bed_state

    async def clear_bed(self) -> str:
        self.bed_state = "clear"
        return self.bed_state

    async def prints(self, *, limit: int) -> Sequence[PrintRecord]:
        return self.records[:limit]

    async def get_print(self, print_id: str) -> PrintRecord:
        for record in self.records:
            if record.print_id == print_id:
                return record
        raise NotFoundError(f"there is no print {print_id}")

    async def newest_event(self) -> int:
        return max((event.seq for event in self.events), default=0)

    async def events_after(self, seq: int, *, limit: int) -> Sequence[Event]:
        return [event for event in self.events if event.seq > seq][:limit]

    async def _become(self, job_id: str, action: str, state: JobState) -> Job:
        job = replace(await self.get(job_id), state=state)
        self.jobs[[one.job_id for one in self.jobs].index(job_id)] = job
        self.calls.append((action, job_id))
        return job


def make_event(seq: int) -> Event:
    """A durable record."""
    return Event("e1", seq, EventType.JOB, "j-1", 1, None, "ready", None, "", NOW_MS, 5, "boot", {"n": seq})


@dataclass
class FakeIntake:
    """Digests what it is sent and queues a job."""

    queue: FakeQueue
    largest_chunk: int = 0
    received_bytes: int = 0

    async def submit(self, request: JobRequest, chunks: AsyncIterator[bytes]) -> Job:
        digest = hashlib.sha256()
        size = 0
        async for chunk in chunks:
            self.largest_chunk = max(self.largest_chunk, len(chunk))
            size += len(chunk)
            self.received_bytes = size
            digest.update(chunk)
        job = make_job(
            f"j-{len(self.queue.jobs) + 1}",
            name=request.name,
            copies=request.copies,
            material=request.material,
            quality=request.quality,
            priority=request.priority,
            artefact_sha256=digest.hexdigest(),
            artefact_size=size,
            state=JobState.HELD if request.hold else JobState.RECEIVED,
        )
        self.queue.jobs.append(job)
        self.queue.calls.append(("submit", request))
        return job


@dataclass
class FakePrinter:
    """A printer service that does what it is told at once."""

    view: PrinterSnapshot = field(default_factory=PrinterSnapshot)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    entries: list[TranscriptEntry] = field(default_factory=list)
    telemetry: list[Sample] = field(default_factory=list)
    spoken: asyncio.Queue[TranscriptEntry] = field(default_factory=asyncio.Queue)

    def snapshot(self) -> PrinterSnapshot:
        return self.view

    async def stop(self) -> None:
        self._do("stop", state=PrinterState.HALTED)

    async def pause(self) -> None:
        if self.view.state is not PrinterState.PRINTING:
            raise RefusedError("nothing is printing", code="wrong_state", remedy="see `fabunit status`")
        self._do("pause", state=PrinterState.PAUSED)

    async def resume(self) -> None:
        self._do("resume", state=PrinterState.PRINTING)

    async def cancel(self, reason: Reason) -> None:
        self._do("cancel", reason, state=PrinterState.IDLE)

    async def connect(self, port: str | None) -> None:
        self._do("connect", port, state=PrinterState.IDLE)

    async def disconnect(self) -> None:
        self._do("disconnect", state=PrinterState.OFFLINE)

    async def home(self, axes: str) -> None:
        self._do("home", axes)

    async def heat(self, heater: str, celsius: float) -> None:
        if celsius > 280:
            raise RefusedError(
                f"{celsius:g} °C is above the limit of 280 °C", code="too_hot", remedy="ask for less"
            )
        self._do("heat", heater, celsius)

    async def cool(self) -> None:
        self._do("cool")

    async def answer_prompt(self, choice: int) -> None:
        self._do("answer", choice)
        self.view = replace(self.view, prompt=None)

    async def command(self, line: str) -> Sequence[str]:
        if line.startswith("M502"):
            raise RefusedError(
                "M502 is not allowed", code="forbidden_command", remedy="use the printer's own menu"
            )
        self._do("command", line)
        return ["ok T:21.0 /0.0"] if line == "M105" else ["ok"]

    def transcript_tail(self, n: int) -> Sequence[TranscriptEntry]:
        return self.entries[-n:]

    async def subscribe(self) -> AsyncIterator[TranscriptEntry]:
        while True:
            yield await self.spoken.get()

    def samples(self) -> Sequence[Sample]:
        return self.telemetry

    def say(self, text: str, direction: Direction = Direction.RECEIVED) -> None:
        entry = TranscriptEntry(NOW_MS, direction, text)
        self.entries.append(entry)
        self.spoken.put_nowait(entry)

    def _do(self, *call: Any, state: PrinterState | None = None) -> None:
        self.calls.append(call)
        if state is not None:
            self.view = replace(self.view, state=state)


@dataclass
class FakeUnit:
    """All fakes of one unit and the facade over them."""

    queue: FakeQueue = field(default_factory=FakeQueue)
    printer: FakePrinter = field(default_factory=FakePrinter)
    ring: LogRing = field(default_factory=LogRing)
    max_upload_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        self.intake = FakeIntake(self.queue)

    def facade(self) -> UnitFacade:
        return UnitFacade(
            identity=UnitIdentity("unit-1", "Workshop MK3S", "0.1.0", 4242, time.monotonic() - 60),
            queue=self.queue,
            intake=self.intake,
            printer=self.printer,
            logs=self.ring,
            start_job=self.queue.start,
            max_upload_bytes=self.max_upload_bytes,
        )


def printing_unit(now_s: float | None = None) -> FakeUnit:
    """A unit in the middle of a print, with a queue behind it."""
    now = time.monotonic() if now_s is None else now_s
    unit = FakeUnit()
    unit.queue.bed_state = "occupied"
    unit.queue.jobs = [
        make_job(
            "j-1", name="bracket.gcode", state=JobState.PRINTING, copies=2, material="PETG", estimate_s=5400.0
        ),
        make_job("j-2", name="gear.gcode", copies=3, estimate_s=1320.0),
        make_job("j-3", name="lid with a rather long name for a file.gcode", state=JobState.HELD),
        make_job("j-0", name="old.gcode", state=JobState.COMPLETED),
    ]
    unit.queue.records = [
        make_print("p-2"),
        make_print("p-1", state=PrintState.PRINTING, receipt=None, ended_ms=None),
    ]
    unit.queue.events = [make_event(seq) for seq in (1, 2, 3)]
    unit.printer.view = PrinterSnapshot(
        state=PrinterState.PRINTING,
        port="/dev/serial/by-id/usb-Prusa_MK3S-if00",
        port_id="usb-Prusa_MK3S-if00",
        baud=115200,
        dialect="prusa",
        firmware=FirmwareInfo(
            "Prusa-Firmware 3.14", "MK3S", "uuid-1", {"FIRMWARE_NAME": "Prusa"}, {"EEPROM": True}
        ),
        temperatures={"T0": Temperature(214.8, 215.0, 0.4), "B": Temperature(60.1, 60.0)},
        position={"X": 10.0, "Y": 20.0, "Z": 9.2},
        fan=1.0,
        message="",
        health=PortHealth(12400, 12345, 3, 0, 1, 4.1, 12.3, 0),
        progress=PrintProgress("p-1", 12345, 29876, 100, 200, 45, 120, 9.2, 2280.0, 3120.0, 0.4213),
    )
    unit.printer.telemetry = [
        Sample(
            now - age,
            {
                "T0": Temperature(215.0 - 195.0 * math.exp(-(600 - age) / 90), 215.0),
                "B": Temperature(60.0 - 38.0 * math.exp(-(600 - age) / 160), 60.0),
            },
        )
        for age in range(599, -1, -1)
    ]
    return unit


def with_prompt(unit: FakeUnit) -> FakeUnit:
    """Let the printer ask something."""
    unit.printer.view = replace(
        unit.printer.view,
        state=PrinterState.ATTENTION,
        prompt=Prompt("Filament runout", ("Continue", "Unload")),
        message="Waiting for user",
    )
    return unit
