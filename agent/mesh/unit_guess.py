"""Inch, metre and micron files: what a bare number probably means. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.artefact import Severity
from agent.mesh.finding import MeshFinding, Vector

UNITS_MM = {"mm": 1.0, "cm": 10.0, "inch": 25.4, "m": 1000.0, "micron": 0.001}
_METRE_VOLUME_MM3 = 1e-3  # smaller than any part whose file is in inches
_MICRON_TIMES_BED = 3.0
_LEAST_SIDE_MM = 5.0  # of a part that somebody would make, after rescaling


@dataclass(frozen=True, slots=True)
class UnitGuess:
    """The unit the file is probably in, and the scale to millimetres."""

    unit: str
    scale: float
    measured: float
    limit: float
    measured_unit: str


def guess(size_mm: Vector, volume_mm3: float, bed_mm: Vector, *, small_volume_mm3: float) -> UnitGuess | None:
    """Return a better unit for a part of this size, None if millimetres make sense."""
    longest = max(size_mm)
    volume = abs(volume_mm3)
    if volume < small_volume_mm3:
        candidates = ("m",) if volume < _METRE_VOLUME_MM3 else ("inch", "cm", "m")
        for unit in candidates:
            side = longest * UNITS_MM[unit]
            if side >= _LEAST_SIDE_MM and _fits(size_mm, UNITS_MM[unit], bed_mm):
                return UnitGuess(unit, UNITS_MM[unit], volume, small_volume_mm3, "mm³")
    if longest > _MICRON_TIMES_BED * max(bed_mm) and longest * UNITS_MM["micron"] >= _LEAST_SIDE_MM:
        return UnitGuess("micron", UNITS_MM["micron"], longest, _MICRON_TIMES_BED * max(bed_mm), "mm")
    return None


def _fits(size_mm: Vector, scale: float, bed_mm: Vector) -> bool:
    """Tell whether the scaled part fits the printer, however it is turned."""
    pairs = zip(sorted(size_mm), sorted(bed_mm), strict=True)
    return all(side * scale <= room for side, room in pairs)


def finding(guessed: UnitGuess, size_mm: Vector) -> MeshFinding:
    """Return the question to the maker."""
    as_is = " x ".join(f"{side:.3g}" for side in size_mm)
    scaled = " x ".join(f"{side * guessed.scale:.1f}" for side in size_mm)
    return MeshFinding(
        "size.units",
        Severity.WARNING,
        f"the file is probably in {guessed.unit}: {as_is} mm as it stands, {scaled} mm times {guessed.scale:g}; "
        "everything below is for the latter",
        f"say which: --unit {guessed.unit} or --unit mm",
        measured=guessed.measured,
        limit=guessed.limit,
        unit=guessed.measured_unit,
    )
