"""The JSON documents of the control API, as pure conversions from domain values.

Their shapes are in `document_types.py`, which the daemon never loads: they say something to a type checker alone.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.control.document_types import (
        EventDocument,
        JobDetailsDocument,
        JobDocument,
        PrintDocument,
        PrinterDocument,
        TranscriptDocument,
    )
    from agent.domain.events import Event
    from agent.domain.job import Job
    from agent.domain.printer import PrinterSnapshot, Sample, TranscriptEntry
    from agent.domain.prints import PrintRecord
    from agent.storage.meshes import MeshRow


# What of a print is the daemon's own business, and the receipt, which has its own path.
_KEPT_BACK = frozenset({"pause_snapshot", "receipt", "file_stamp", "cancel_reason", "receipt_seal"})


def printer_document(snapshot: PrinterSnapshot) -> PrinterDocument:
    """Write the snapshot as JSON values."""
    document = asdict(snapshot)
    document["state"] = str(snapshot.state)
    if snapshot.prompt is not None:
        document["prompt"]["choices"] = list(snapshot.prompt.choices)
    return cast("PrinterDocument", document)


def job_document(job: Job) -> JobDocument:
    """Write the job as JSON values."""
    document = asdict(job)
    for name in ("state", "reason", "held_from"):
        document[name] = None if document[name] is None else str(document[name])
    return cast("JobDocument", document)


def job_details(job: Job, mesh: MeshRow | None) -> JobDetailsDocument:
    """Write a job with what is on record about its mesh."""
    document = cast("JobDetailsDocument", job_document(job))
    if mesh is not None:
        document["mesh"] = {"check": mesh.checked, "slice": mesh.sliced}
    return document


def print_document(record: PrintRecord) -> PrintDocument:
    """Write the print as JSON values; what only the daemon needs is left out, the receipt has its own path."""
    document = {
        field.name: getattr(record, field.name) for field in fields(record) if field.name not in _KEPT_BACK
    }
    document["has_receipt"] = record.receipt is not None
    document["state"] = str(record.state)
    document["reason"] = None if record.reason is None else str(record.reason)
    return cast("PrintDocument", document)


def event_document(event: Event) -> EventDocument:
    """Write the record as JSON values."""
    document = asdict(event)
    document["type"], document["clk"] = str(event.type), str(event.clk)
    return cast("EventDocument", document)


def transcript_document(entry: TranscriptEntry) -> TranscriptDocument:
    """Write the console line as JSON values."""
    return {"t_ms": entry.t_ms, "direction": str(entry.direction), "text": entry.text}


def samples_document(samples: Sequence[Sample], now_s: float, shown: int) -> dict[str, list[list[float]]]:
    """List temperatures per heater as [age_s, actual, target], oldest first, thinned to `shown` points."""
    step = max(1, -(-len(samples) // shown))
    kept = samples[(len(samples) - 1) % step :: step] if samples else ()
    series: dict[str, list[list[float]]] = {}
    for sample in kept:
        age_s = round(now_s - sample.t_s, 1)
        for heater, temperature in sample.temperatures.items():
            series.setdefault(heater, []).append([age_s, temperature.actual, temperature.target])
    return series


def counts_by_state(jobs: Sequence[Job]) -> Mapping[str, int]:
    """How many jobs stand in each state; states nobody is in are left out."""
    counts: dict[str, int] = {}
    for job in jobs:
        counts[str(job.state)] = counts.get(str(job.state), 0) + 1
    return counts
