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


@dataclass(frozen=True, slots=True)
class Event:
    """One record; order is (epoch, seq), never wall time.

    `t_ms` is Unix time, `mono_ms` the monotonic clock of boot `boot`, both in milliseconds.
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
    """When something happened: Unix ms (may step), monotonic ms of this boot, and the id of the boot."""

    t_ms: int
    mono_ms: int
    boot: str
