"""Receipts: the proof of a finished print as one JSON object. Pure."""

from __future__ import annotations

import math
from typing import Any

from agent.domain.job import Job
from agent.domain.prints import PrintOutcome, PrintRecord

RECEIPT_VERSION = 1


def receipt(job: Job, record: PrintRecord, outcome: PrintOutcome) -> dict[str, Any]:
    """Describe a print that is over: what was ordered, sent, and how it ended. `record` is closed."""
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
            "stats": outcome.stats,
        }
    )
    return proof


def _plain(value: Any) -> Any:
    """Reduce to what every JSON reader takes: the end of a print must not fail for an odd figure in it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
