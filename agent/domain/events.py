"""Durable facts: every state change of a job, print or the unit is one record with a sequence number (P5)."""

from __future__ import annotations

from dataclasses import dataclass
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
