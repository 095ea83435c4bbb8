"""`state/presence`, `state/unit` and `up/live`: who is there, what it is, and how it is right now."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from agent.coordinator.documents.base import (
    Count,
    Document,
    Epoch,
    TimeMs,
    UnitId,
    json_object,
    validated,
)

ClockState = Literal["sync", "unsync", "stepped"]
Accept = Literal["auto", "ask", "never"]
PresenceState = Literal["online", "offline", "lost"]


class Presence(Document):
    """Retained: `lost` is the last will. A will whose `connect` is below the newest birth's is a late one: ignore it.

    `connect` counts the connections under this `epoch`; `since` is Unix milliseconds.
    """

    v: Literal[1] = 1
    unit: UnitId
    state: PresenceState
    epoch: Epoch
    connect: Count
    since: TimeMs
    reason: str = ""
    clk: ClockState = "sync"


class HeaterDocument(Document):
    """A heater: actual and target in °C; `max_c` is the limit nothing exceeds."""

    actual: float | None = None
    target: float | None = None
    max_c: float | None = None


class PrinterPart(Document):
    """The machine. Lengths in millimetres; heaters keyed `T0`, `T1`, `B` (bed), `C` (chamber)."""

    state: str
    detail: str = ""
    profile: str
    profile_digest: str = ""
    title: str = ""
    volume_mm: list[float]
    nozzle_mm: float
    extruders: int
    heaters: dict[str, HeaterDocument] = Field(default_factory=dict)
    firmware: str = ""
    dialect: str = ""


class MaterialPart(Document):
    """What is loaded: `slot` is the tool or bay, `left_g` the grams that remain as far as the unit knows.

    `promised_g` of them the jobs in the queue will take.
    """

    slot: str
    material: str
    color: str = ""
    brand: str = ""
    left_g: float | None = None
    promised_g: float = 0.0


class JobPart(Document):
    """The job on the printer; `fraction` 0..1, times in seconds."""

    job_id: str
    rev: int
    state: str
    print_id: str | None = None
    fraction: float | None = None
    layer: int | None = None
    layers: int | None = None
    remaining_s: float | None = None


class QueuePart(Document):
    """What waits. `free_in_s` is when the printer will probably be free, None when that cannot be told."""

    length: int
    counts: dict[str, int] = Field(default_factory=dict)
    free_in_s: float | None = None
    room: int


class AcceptPart(Document):
    """When new jobs are taken: `now`, and `week` with 24 letters per day (`a` auto, `q` ask, `n` never), local time."""

    now: Accept
    week: dict[str, Annotated[str, Field(pattern=r"^[aqn]{24}$")]]
    utc_offset_min: int = 0


class RecordPart(Document):
    """How prints of this unit ended so far, and the hours they ran."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    hours: float = 0.0


class OutboxPart(Document):
    """Records that the coordinator has not acknowledged, and those that never went out as they were."""

    events: int = 0
    telemetry: int = 0
    omitted: int = 0


class UnitDocument(Document):
    """`state/unit`, retained: enough to match an order to this unit without asking."""

    v: Literal[1] = 1
    unit: UnitId
    name: str = ""
    version: str
    t: TimeMs
    clk: ClockState
    epoch: Epoch
    connect: Count = 0
    printer: PrinterPart
    materials: list[MaterialPart] = Field(default_factory=list)
    profiles: list[str] = Field(default_factory=list)
    formats: list[str] = Field(default_factory=list)
    capabilities: list[str] = Field(default_factory=list)
    commands: list[str] = Field(default_factory=list)
    limits: dict[str, Any] = Field(default_factory=dict)
    signature_required: bool = False
    public_key: str | None = None
    bed: Literal["clear", "occupied"]
    job: JobPart | None = None
    queue: QueuePart
    accept: AcceptPart
    record: RecordPart = RecordPart()
    outbox: OutboxPart = OutboxPart()
    warnings: list[str] = Field(default_factory=list)
    disk_free_bytes: int | None = None


class LiveSample(Document):
    """`up/live`: the printer this second. `t` Unix ms, `mono` ms of this boot."""

    v: Literal[1] = 1
    unit: UnitId
    t: TimeMs
    mono: Count
    state: str
    temperatures: dict[str, HeaterDocument] = Field(default_factory=dict)
    job: str | None = None
    print: str | None = None
    fraction: float | None = None
    layer: int | None = None
    z_mm: float | None = None
    remaining_s: float | None = None


def parse_presence(payload: bytes, content_type: str | None = None) -> Presence:
    """Return what came on `state/presence`. Raises DocumentError."""
    return validated("presence", Presence, json_object("presence", payload, content_type))


def parse_unit(payload: bytes, content_type: str | None = None) -> UnitDocument:
    """Return what came on `state/unit`. Raises DocumentError."""
    return validated("unit", UnitDocument, json_object("unit", payload, content_type))


def parse_live(payload: bytes, content_type: str | None = None) -> LiveSample:
    """Return what came on `up/live`. Raises DocumentError."""
    return validated("live", LiveSample, json_object("live", payload, content_type))
