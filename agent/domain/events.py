"""Durable facts: every state change of a job, print or the unit is one record with a sequence number (P5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """What a record reports."""

    JOB = "job"
    PRINT = "print"
    UNIT = "unit"
    BED = "bed"
    PORT = "port"
    SAFETY = "safety"


class ClockState(StrEnum):
    """How far wall time can be believed: set by the network; not set; just jumped, so earlier records are off."""

    SYNC = "sync"
    UNSYNC = "unsync"
    STEPPED = "stepped"


@dataclass(frozen=True, slots=True)
class Event:
    """One record; order is (epoch, seq), never wall time.

    `t_ms` is Unix time by a clock that was `clk`, `mono_ms` the monotonic clock of boot `boot`, in milliseconds.
    """

    epoch: str
    seq: int
    type: EventType
    job_id: str | None
    rev: int | None
    print_id: str | None
    state: str | None
    reason: str | None
    detail: str
    t_ms: int
    mono_ms: int
    boot: str
    data: dict[str, Any]
    clk: ClockState = ClockState.SYNC


@dataclass(frozen=True, slots=True)
class EventDraft:
    """A fact before storage has numbered and stamped it; the fields mean what they mean in `Event`."""

    type: EventType
    detail: str
    job_id: str | None = None
    rev: int | None = None
    print_id: str | None = None
    state: str | None = None
    reason: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something happened: Unix ms (may step), monotonic ms of this boot, the id of the boot, the clock's state."""

    t_ms: int
    mono_ms: int
    boot: str
    clk: ClockState = ClockState.SYNC
