"""What an order demands of a unit, compared with what the unit is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.coordinator.documents import JobDocument, MaterialPart, Problem
from agent.domain.artefact import Prepared
from agent.domain.errors import ArtefactError
from agent.domain.profile import PrinterProfile
from agent.domain.spool import is_same

# Nozzles are made in steps of 0.1 mm; 0.4 written as 0.40 or 0.399 is the same one.
NOZZLE_TOLERANCE_MM = 0.02


@dataclass(frozen=True, slots=True)
class Abilities:
    """What this unit is and has: its profile, what is loaded, the profiles, formats and capabilities it offers."""

    profile: PrinterProfile
    materials: tuple[MaterialPart, ...]
    profiles: frozenset[str]
    formats: frozenset[str]
    capabilities: frozenset[str]
    max_artefact_bytes: int


def unmet(job: JobDocument, unit: Abilities) -> tuple[Problem, ...]:
    """Return what the unit cannot do of what the job demands; empty when it fits.

    A demand that this version does not know cannot be promised: it counts as unmet.
    """
    return (
        *_unknown(job),
        *_artefact(job, unit),
        *_machine(job, unit.profile, unit.profiles),
        *_heaters(job, unit.profile),
        *_material(job, unit.materials),
    )


def exceeded(job: JobDocument, prepared: Prepared) -> ArtefactError | None:
    """Return what the checked file has more of than the job's limits allow, None when it keeps them."""
    limits, metadata = job.limits, prepared.metadata
    duration_s = metadata.estimate_s or (prepared.times[-1] if prepared.times else None)
    figures = (
        ("max_duration_s", limits.max_duration_s, duration_s, "seconds of printing"),
        ("max_filament_mm", limits.max_filament_mm, metadata.filament_mm, "mm of filament"),
        ("max_hotend_c", limits.max_hotend_c, _hottest(prepared, "T"), "°C at the nozzle"),
        ("max_bed_c", limits.max_bed_c, _hottest(prepared, "B"), "°C at the bed"),
    )
    for name, limit, figure, unit in figures:
        if limit is not None and figure is None:
            return _over(f"limits.{name} is {limit:g}, but the file does not tell its {unit}")
        if limit is not None and figure is not None and figure > limit:
            return _over(f"the file needs {figure:g} {unit}, limits.{name} is {limit:g}")
    return None


def _over(message: str) -> ArtefactError:
    return ArtefactError(
        message, code="job_limit", remedy="slice the part anew, or order it with other limits"
    )


def _hottest(prepared: Prepared, first_letter: str) -> float:
    """Return the highest target of the heaters whose name begins so; 0 for a file that never heats them."""
    highest: dict[str, float] = prepared.summary.get("temperatures", {}).get("highest_c", {})
    return max(
        (celsius for heater, celsius in highest.items() if heater.startswith(first_letter)), default=0.0
    )


def _unknown(job: JobDocument) -> Sequence[Problem]:
    return [
        Problem(f"{part}.{name}", "this unit does not know that demand and cannot promise it")
        for part, document in (("require", job.require), ("limits", job.limits))
        for name in document.model_extra or ()
    ]


def _artefact(job: JobDocument, unit: Abilities) -> Sequence[Problem]:
    problems = []
    if job.artefact.format not in unit.formats:
        known = ", ".join(sorted(unit.formats))
        problems.append(Problem("artefact.format", f"this unit takes {known}, not {job.artefact.format}"))
    if job.artefact.size > unit.max_artefact_bytes:
        problems.append(Problem("artefact.size", f"this unit takes up to {unit.max_artefact_bytes} bytes"))
    missing = sorted(set(job.require.capabilities or ()) - unit.capabilities)
    if missing:
        problems.append(Problem("require.capabilities", f"this unit has no {', '.join(missing)}"))
    return problems


def _machine(job: JobDocument, profile: PrinterProfile, offered: frozenset[str]) -> Sequence[Problem]:
    require, problems = job.require, []
    if require.profiles is not None and offered.isdisjoint(require.profiles):
        problems.append(Problem("require.profiles", f"this unit is a {profile.name}"))
    if require.nozzle_mm is not None and abs(require.nozzle_mm - profile.nozzle_mm) > NOZZLE_TOLERANCE_MM:
        problems.append(Problem("require.nozzle_mm", f"this unit's nozzle has {profile.nozzle_mm:g} mm"))
    if require.volume_mm is not None and any(
        wanted > there for wanted, there in zip(require.volume_mm, profile.volume_mm, strict=True)
    ):
        size = " x ".join(f"{edge:g}" for edge in profile.volume_mm)
        problems.append(Problem("require.volume_mm", f"this unit's volume is {size} mm"))
    return problems


def _heaters(job: JobDocument, profile: PrinterProfile) -> Sequence[Problem]:
    problems = []
    if job.require.hotend_c is not None and job.require.hotend_c > profile.hotend.max_c:
        problems.append(
            Problem("require.hotend_c", f"this unit's hotend goes to {profile.hotend.max_c:g} °C")
        )
    bed_c = profile.bed.max_c if profile.bed else 0.0
    if job.require.bed_c is not None and job.require.bed_c > bed_c:
        problems.append(Problem("require.bed_c", f"this unit's bed goes to {bed_c:g} °C"))
    return problems


def _material(job: JobDocument, materials: Sequence[MaterialPart]) -> Sequence[Problem]:
    require = job.require
    if require.material is None and require.color is None and require.material_g is None:
        return []
    fitting = [
        loaded
        for loaded in materials
        if is_same(require.material, loaded.material) and is_same(require.color, loaded.color)
    ]
    if not fitting:
        there = (
            ", ".join(f"{loaded.material} {loaded.color}".strip() for loaded in materials)
            or "nothing it knows of"
        )
        return [Problem("require.material", f"loaded is {there}")]
    if require.material_g is None:
        return []
    known = [loaded for loaded in fitting if loaded.left_g is not None]
    if not known:
        return [Problem("require.material_g", "how much of it is left is not known")]
    free_g = max((loaded.left_g or 0.0) - loaded.promised_g for loaded in known)
    if free_g >= require.material_g:
        return []
    told = f"{max(0.0, free_g):g} g are left that are not promised to jobs in the queue"
    return [Problem("require.material_g", told)]
