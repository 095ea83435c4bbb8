"""`state/unit` and `up/live` from what the daemon's parts say of themselves. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.coordinator.availability import Accept, Week
from agent.coordinator.documents import (
    AcceptPart,
    HeaterDocument,
    JobPart,
    LiveSample,
    MaterialPart,
    OutboxPart,
    PrinterPart,
    QueuePart,
    RecordPart,
    UnitDocument,
)
from agent.domain.events import Stamp
from agent.domain.job import Job
from agent.domain.printer import PrinterSnapshot
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.storage.tally import Tally

# An estimate of an estimate: beyond this many jobs nobody plans by it.
_MAX_JOBS_COUNTED = 1_000
# Fields that change all the time; a change of these alone is no reason to send the document again.
_RESTLESS = frozenset({"t", "disk_free_bytes", "outbox"})


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What does not change while the daemon runs."""

    unit: str
    name: str
    version: str
    profile: PrinterProfile
    epoch: str
    profiles: tuple[str, ...]
    formats: tuple[str, ...]
    capabilities: tuple[str, ...]
    commands: tuple[str, ...]
    week: Week
    max_jobs: int
    max_artefact_bytes: int
    signature_required: bool
    public_key: str | None


@dataclass(frozen=True, slots=True)
class UnitMoment:
    """What does."""

    stamp: Stamp
    connect: int
    printer: PrinterSnapshot
    jobs: Sequence[Job]
    materials: Sequence[MaterialPart]
    bed: str
    tally: Tally
    outbox: OutboxPart
    accept: Accept
    warnings: Sequence[str]
    disk_free_bytes: int | None


def unit_document(facts: UnitFacts, moment: UnitMoment) -> UnitDocument:
    """Compose the description; `moment.jobs` are the jobs that are not over, in queue order."""
    return UnitDocument(
        unit=facts.unit,
        name=facts.name,
        version=facts.version,
        t=max(moment.stamp.t_ms, 0),
        clk=moment.stamp.clk.value,
        epoch=facts.epoch,
        connect=moment.connect,
        printer=_printer(facts.profile, moment.printer),
        materials=list(moment.materials),
        profiles=list(facts.profiles),
        formats=list(facts.formats),
        capabilities=list(facts.capabilities),
        commands=list(facts.commands),
        limits={"max_jobs": facts.max_jobs, "max_artefact_bytes": facts.max_artefact_bytes},
        signature_required=facts.signature_required,
        public_key=facts.public_key,
        bed="clear" if moment.bed == "clear" else "occupied",
        job=_job(moment),
        queue=_queue(facts, moment),
        accept=AcceptPart(
            now=moment.accept, week=facts.week.named(), utc_offset_min=_utc_offset_min(moment.stamp.t_ms)
        ),
        record=RecordPart(
            completed=moment.tally.completed,
            failed=moment.tally.failed,
            cancelled=moment.tally.cancelled,
            hours=moment.tally.hours,
        ),
        outbox=moment.outbox,
        warnings=list(moment.warnings),
        disk_free_bytes=moment.disk_free_bytes,
    )


def essence(document: UnitDocument) -> str:
    """Return a digest of what is worth sending at once: not of temperatures, progress and counters."""
    content = document.model_dump(mode="json", exclude=set(_RESTLESS))
    for heater in content["printer"]["heaters"].values():
        heater["actual"] = None
    if content["job"] is not None:
        content["job"] = {name: content["job"].get(name) for name in ("job_id", "rev", "state", "print_id")}
    content["queue"]["free_in_s"] = None
    return hashlib.blake2s(json.dumps(content, sort_keys=True).encode()).hexdigest()


def live_sample(unit: str, stamp: Stamp, printer: PrinterSnapshot, job_id: str | None) -> LiveSample:
    """Compose the sample of this second."""
    progress = printer.progress
    return LiveSample(
        unit=unit,
        t=max(stamp.t_ms, 0),
        mono=stamp.mono_ms,
        state=printer.state.value,
        temperatures={
            name: HeaterDocument(actual=round(heater.actual, 1), target=round(heater.target, 1))
            for name, heater in printer.temperatures.items()
        },
        job=job_id,
        print=progress.print_id if progress else None,
        fraction=round(progress.fraction, 5) if progress else None,
        layer=progress.layer if progress else None,
        z_mm=progress.z_mm if progress else None,
        remaining_s=round(progress.remaining_s) if progress and progress.remaining_s is not None else None,
    )


def _printer(profile: PrinterProfile, seen: PrinterSnapshot) -> PrinterPart:
    heaters = {f"T{number}": profile.hotend for number in range(profile.extruders)}
    limits: dict[str, HeaterLimits | None] = {**heaters, "B": profile.bed, "C": profile.chamber}
    shown = {
        name: HeaterDocument(
            actual=round(now.actual, 1) if (now := seen.temperatures.get(name)) else None,
            target=round(now.target, 1) if now else None,
            max_c=limit.max_c,
        )
        for name, limit in limits.items()
        if limit is not None
    }
    return PrinterPart(
        state=seen.state.value,
        detail=seen.detail[:300],
        profile=profile.name,
        profile_digest=profile.digest,
        title=profile.title,
        volume_mm=list(profile.volume_mm),
        nozzle_mm=profile.nozzle_mm,
        extruders=profile.extruders,
        heaters=shown,
        firmware=seen.firmware.name[:200] if seen.firmware else "",
        dialect=seen.dialect,
    )


def _job(moment: UnitMoment) -> JobPart | None:
    job = next((job for job in moment.jobs if job.state.is_active), None)
    if job is None:
        return None
    progress = moment.printer.progress
    return JobPart(
        job_id=job.job_id,
        rev=job.rev,
        state=job.state.value,
        print_id=progress.print_id if progress else None,
        fraction=round(progress.fraction, 4) if progress else None,
        layer=progress.layer if progress else None,
        layers=progress.layers if progress else None,
        remaining_s=progress.remaining_s if progress else None,
    )


def _queue(facts: UnitFacts, moment: UnitMoment) -> QueuePart:
    counts: dict[str, int] = {}
    for job in moment.jobs:
        counts[job.state.value] = counts.get(job.state.value, 0) + 1
    return QueuePart(
        length=len(moment.jobs),
        counts=counts,
        free_in_s=_free_in_s(moment),
        room=max(0, facts.max_jobs - len(moment.jobs)),
    )


def _free_in_s(moment: UnitMoment) -> float | None:
    """Sum what is left of the running print and the estimates of all that waits; None when one is unknown."""
    total_s = 0.0
    for job in moment.jobs[:_MAX_JOBS_COUNTED]:
        copies = job.copies - job.copies_done
        if job.state.is_active:
            progress = moment.printer.progress
            if progress is None or progress.remaining_s is None:
                return None
            total_s += progress.remaining_s
            copies -= 1
        if copies > 0:
            if job.estimate_s is None:
                return None
            total_s += copies * job.estimate_s
    return round(total_s)


def _utc_offset_min(t_ms: int) -> int:
    offset = datetime.fromtimestamp(t_ms / 1000, UTC).astimezone().utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)
