"""Receipts: the proof of a finished print as one JSON object. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agent.domain.events import Event, EventType, Stamp
from agent.domain.job import Job
from agent.domain.prints import PrintOutcome, PrintRecord, PrintState

RECEIPT_VERSION = 1
_SLICED = (
    "engine", "engine_version", "printer", "material", "quality", "supports", "setup_digest", "mesh_sha256", "sha256",
    "check_verdict", "repairs",
)  # fmt: skip
SALVAGED = "salvaged"
"""The name of the event that says behind which line a print began."""
TAKEN_OVER = "taken_over"
"""The name of the event that says where a print was found again, and after how long."""


def receipt(
    job: Job,
    record: PrintRecord,
    outcome: PrintOutcome,
    events: Sequence[Event],
    now: Stamp,
    *,
    sliced: Mapping[str, Any] | None = None,
    filament_mm: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Describe a print that is over: what was ordered, sent, and how it ended.

    `record` is closed, `events` are those of this print, which ends `now`; `sliced` says how a mesh became G-code,
    `filament_mm` what it took, by tool.
    What was not measured is left out.
    """
    ended_ms = record.ended_ms if record.ended_ms is not None else record.started_ms
    proof: dict[str, Any] = _plain(
        {
            "v": RECEIPT_VERSION,
            "print_id": record.print_id,
            "job_id": job.job_id,
            "rev": job.rev,
            "name": job.name,
            "copy": record.copy,
            "copies": job.copies,
            "attempt": job.attempt,
            "artefact_sha256": job.artefact_sha256,
            "prepared_sha256": record.prepared_sha256,
            "profile_digest": job.profile_digest,
            "port_id": record.port_id,
            "lines": record.lines,
            "lines_acked": outcome.lines_acked,
            "base": record.base,
            "started_ms": record.started_ms,
            "ended_ms": ended_ms,
            # Wall time may have stepped in between; a negative duration would only confuse.
            "duration_s": max(0, ended_ms - record.started_ms) / 1000,
            "estimate_s": job.estimate_s,
            "state": outcome.state.value,
            "reason": outcome.reason.value if outcome.reason else None,
            "detail": outcome.detail,
            **({"slice": {key: sliced[key] for key in _SLICED if key in sliced}} if sliced else {}),
            **_interruptions(events, now),
            **(
                {"filament_mm": {tool: round(length, 1) for tool, length in filament_mm.items()}}
                if filament_mm
                else {}
            ),
            **({"salvage": outcome.salvage} if outcome.salvage is not None else {}),
            **_salvaged(events),
            "stats": outcome.stats,
        }
    )
    return proof


def _interruptions(events: Sequence[Event], now: Stamp) -> dict[str, Any]:
    """How often the print was left alone or paused, and for how long each time (None: nobody knows)."""
    gaps = [event.data for event in events if event.data.get("event") == TAKEN_OVER]
    # Events with a name of their own (taken over, cancel requested) are no change of the print's state.
    told = [event for event in events if event.type is EventType.PRINT and not event.data.get("event")]
    afterwards: list[Event | Stamp] = [*told[1:], now]
    pauses = [
        _between(event, after)
        for event, after in zip(told, afterwards[: len(told)], strict=True)
        if event.state == PrintState.PAUSED
    ]
    return {
        "restarts": sum(bool(gap.get("restarted")) for gap in gaps),
        "reconnects": sum(not gap.get("restarted") for gap in gaps),
        "gaps": [{"line": gap.get("line"), "gap_s": gap.get("gap_s")} for gap in gaps],
        "pauses": [{"reason": reason, "length_s": length_s} for reason, length_s in pauses],
    }


def begun_behind(events: Sequence[Event]) -> int:
    """Return the line behind which a print began, by its events: 0 but for one that was salvaged."""
    return int(_salvaged(events).get("salvaged", {}).get("from_line") or 0)


def _salvaged(events: Sequence[Event]) -> dict[str, Any]:
    """Of a print that began in the middle: behind which line, and which attempt had come so far."""
    told = [event.data for event in events if event.type is EventType.PRINT]
    begun = next((data for data in told if data.get("event") == SALVAGED), None)
    if begun is None:
        return {}
    return {"salvaged": {"from_line": begun.get("from_line"), "of_print": begun.get("of_print")}}


def _between(pause: Event, after: Event | Stamp) -> tuple[str | None, float | None]:
    """Why a pause began and how long it was; monotonic times of two boots say nothing together."""
    if after.boot != pause.boot:
        return pause.reason, None
    return pause.reason, (after.mono_ms - pause.mono_ms) / 1000


def _plain(value: Any) -> Any:
    """Reduce to what every JSON reader takes: the end of a print must not fail for an odd figure in it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
