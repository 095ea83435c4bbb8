"""The status document: a pure function of what the daemon's parts say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.control.documents import (
    counts_by_state,
    job_document,
    printer_document,
    samples_document,
)
from agent.domain.job import JobState
from agent.domain.printer import PrinterState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.control.document_types import StatusDocument
    from agent.control.unit import UnitIdentity
    from agent.domain.job import Job
    from agent.domain.printer import PrinterSnapshot, Sample
    from agent.jobs.stages.mesh import Preparing

# A screen shows about this many; `GET /v1/jobs` has them all.
QUEUE_SHOWN = 12
_UNABLE = (PrinterState.HALTED, PrinterState.OFFLINE)
# Points per heater in the stream: one per column of a wide sparkline.
SAMPLES_SHOWN = 120


@dataclass(frozen=True, slots=True)
class StatusParts:
    """The inputs of one status document; `now_s` monotonic, `now_ms` Unix."""

    identity: UnitIdentity
    printer: PrinterSnapshot
    jobs: Sequence[Job]
    bed: str
    link: dict[str, Any] | None
    warnings: Sequence[str]
    now_s: float
    now_ms: int
    host: dict[str, Any] | None = None
    samples: Sequence[Sample] | None = None
    is_auto_start: bool = True
    preparing: Preparing | None = None


def status_document(parts: StatusParts) -> StatusDocument:
    """Compose the document; `jobs` holds the jobs that are not over, in queue order."""
    identity = parts.identity
    document: StatusDocument = {
        "unit": {
            "id": identity.unit_id,
            "name": identity.name,
            "version": identity.version,
            "pid": identity.pid,
            "uptime_s": round(parts.now_s - identity.started_s, 1),
        },
        "printer": printer_document(parts.printer),
        "job": next((job_document(job) for job in parts.jobs if job.state.is_active), None),
        "queue": {
            "counts": dict(counts_by_state(parts.jobs)),
            "jobs": [job_document(job) for job in parts.jobs[:QUEUE_SHOWN]],
            "total": len(parts.jobs),
        },
        "bed": parts.bed,
        "link": parts.link,
        "host": parts.host,
        "warnings": [*parts.warnings, *_own_warnings(parts)],
        "t_ms": parts.now_ms,
    }
    if parts.preparing is not None:
        document["preparing"] = {
            "job_id": parts.preparing.job_id,
            "state": parts.preparing.state.value,
            "step": parts.preparing.step,
            "fraction": round(parts.preparing.fraction, 3),
        }
    if parts.samples is not None:
        document["samples"] = samples_document(parts.samples, parts.now_s, SAMPLES_SHOWN)
    return document


def _own_warnings(parts: StatusParts) -> list[str]:
    """Warn of what follows from the parts together and none of them can see alone."""
    has_ready = any(job.state is JobState.READY for job in parts.jobs)
    has_active = any(job.state.is_active for job in parts.jobs)
    if has_ready and not has_active and parts.bed == "occupied":
        return ["a job is ready but the bed is occupied: clear it, then `fabunit bed clear`"]
    if has_ready and not has_active and not parts.is_auto_start:
        return ["a job is ready but the queue does not start by itself: `fabunit job start ID`"]
    if has_ready and not has_active and parts.printer.state in _UNABLE:
        why = parts.printer.detail or "nobody has answered yet"
        return [f"a job is ready but the printer is {parts.printer.state.value}: {why}"]
    return []
