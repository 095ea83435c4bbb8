"""`up/events`: batches of durable records."""

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

MAX_RECORDS = 200
TELEMETRY = "telemetry"


class EventRecord(Document):
    """One durable fact; `(epoch, seq)` names it for ever and orders it, wall time does not.

    `t` is Unix milliseconds by a clock that was `clk`; `mono` milliseconds of boot `boot`. A record with `covers`
    stands for all of `covers`..`seq` (merged telemetry). `omitted` says why the content is missing: the record was
    too large or refused for this link, its number still counts. `type` is job, print, unit, bed, port, safety or
    telemetry.
    """

    v: Literal[1] = 1
    epoch: Epoch
    seq: Annotated[int, Field(ge=1, le=2**53 - 1)]
    type: Annotated[str, Field(max_length=40)]
    job: str | None = None
    rev: int | None = None
    print: str | None = None
    state: str | None = None
    reason: str | None = None
    detail: str = ""
    t: TimeMs
    mono: Count
    boot: str
    clk: Literal["sync", "unsync", "stepped"]
    data: dict[str, Any] = Field(default_factory=dict)
    covers: Count | None = None
    omitted: str | None = None


class EventBatch(Document):
    """1 to 200 records of one epoch in `seq` order.

    `first` is the lowest number of that epoch the unit still holds: what is below it and was not received never
    comes any more, so that a coordinator's count may go on behind the gap.
    """

    v: Literal[1]
    unit: UnitId
    records: Annotated[list[EventRecord], Field(min_length=1, max_length=MAX_RECORDS)]
    first: Count | None = None


def parse_batch(payload: bytes, content_type: str | None = None) -> EventBatch:
    """Return what came on `up/events`. Raises DocumentError."""
    return validated("batch", EventBatch, json_object("batch", payload, content_type))


def batch_body(unit: str, first: int, records: list[bytes]) -> bytes:
    """Join records that are JSON already into the body of a batch."""
    return b'{"v":1,"unit":"%b","first":%d,"records":[%b]}' % (unit.encode(), first, b",".join(records))
