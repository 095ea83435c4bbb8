"""The thresholds of one check: from nozzle, layer height, material and printer to millimetres and degrees. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from agent.domain.errors import NotFoundError
from agent.domain.profile import PrinterProfile

LINE_WIDTH_PER_NOZZLE = 1.1  # what slicers lay by default, rounded down
LAYER_PER_NOZZLE = 0.5
MAX_LAYER_PER_NOZZLE = 0.8  # above that lines do not press on the layer below


@dataclass(frozen=True, slots=True)
class Material:
    """What the checks need to know of a filament. Density in g/cm³, overhang in degrees from the vertical.

    `flow_mm3_s` is what a plain hotend melts with a 0.4 mm nozzle. Overhang limits follow the common 45 to 50
    degrees of service bureaus; densities are those of the plain polymers.
    """

    name: str
    density_g_cm3: float
    overhang_deg: float
    flow_mm3_s: float


MATERIALS: dict[str, Material] = {
    "pla": Material("pla", 1.24, 50.0, 9.0),
    "petg": Material("petg", 1.27, 45.0, 7.0),
    "abs": Material("abs", 1.04, 45.0, 8.0),
    "asa": Material("asa", 1.07, 45.0, 8.0),
    "tpu": Material("tpu", 1.21, 40.0, 3.0),
    "pc": Material("pc", 1.20, 45.0, 6.0),
    "pa": Material("pa", 1.14, 45.0, 6.0),
}
DEFAULT_MATERIAL = "pla"


@dataclass(frozen=True, slots=True)
class Limits:
    """Every threshold a check uses; the report prints them all. Lengths in mm, areas in mm², angles in degrees.

    `has_supports`: the slicer may build supports, so what floats is a warning and not an error.
    `overhang_deg` counts from the vertical: 0 is a wall, 90 a ceiling.
    """

    profile: str
    profile_digest: str
    material: str
    volume_mm: tuple[float, float, float]
    nozzle_mm: float
    line_mm: float
    layer_mm: float
    has_supports: bool
    density_g_cm3: float
    flow_mm3_s: float
    overhang_deg: float
    wall_error_mm: float
    wall_warning_mm: float
    wall_info_mm: float
    wall_error_share: float
    floor_warning_mm: float
    gap_warning_mm: float
    gap_info_mm: float
    pin_warning_mm: float
    pin_info_mm: float
    hole_warning_mm: float
    hole_info_mm: float
    crack_mm: float
    overhang_area_mm2: float
    overhang_share: float
    steep_deg: float
    bridge_info_mm: float
    bridge_warning_mm: float
    bridge_error_mm: float
    contact_error_mm2: float
    contact_share: float
    tip_deg: float
    slenderness: float
    unit_volume_mm3: float
    infill: float

    @property
    def digest(self) -> str:
        """SHA-256 over every threshold: two checks with equal digests ask the same questions."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def max_thickness_mm(self) -> float:
        """How far the rays that look for thin places need to go."""
        return max(self.wall_info_mm, self.pin_info_mm, self.hole_info_mm, self.gap_info_mm) * 1.05


def derive(
    profile: PrinterProfile,
    *,
    material: str = DEFAULT_MATERIAL,
    layer_mm: float | None = None,
    has_supports: bool = True,
) -> Limits:
    """Return the thresholds for this printer and material. NotFoundError names the known materials.

    Two lines make a sound wall, a nozzle is the least that is laid; bridges and tilt are what slicers warn at.
    """
    known = _material(material)
    nozzle = profile.nozzle_mm
    line = nozzle * LINE_WIDTH_PER_NOZZLE
    layer = min(layer_mm or nozzle * LAYER_PER_NOZZLE, nozzle * MAX_LAYER_PER_NOZZLE)
    return Limits(
        profile=profile.name,
        profile_digest=profile.digest,
        material=known.name,
        volume_mm=profile.volume_mm,
        nozzle_mm=nozzle,
        line_mm=round(line, 4),
        layer_mm=round(layer, 4),
        has_supports=has_supports,
        density_g_cm3=known.density_g_cm3,
        flow_mm3_s=round(known.flow_mm3_s * (nozzle / 0.4) ** 1.5, 3),
        overhang_deg=known.overhang_deg,
        wall_error_mm=nozzle,
        wall_warning_mm=round(2 * nozzle, 4),
        wall_info_mm=round(3 * nozzle, 4),
        wall_error_share=0.005,
        floor_warning_mm=round(3 * layer, 4),
        gap_warning_mm=round(0.5 * nozzle, 4),
        gap_info_mm=round(0.75 * nozzle, 4),
        pin_warning_mm=round(2 * nozzle, 4),
        pin_info_mm=max(2.0, round(5 * nozzle, 4)),
        hole_warning_mm=round(2 * nozzle, 4),
        hole_info_mm=max(2.0, round(5 * nozzle, 4)),
        crack_mm=0.05,
        overhang_area_mm2=25.0,
        overhang_share=0.01,
        steep_deg=70.0,
        bridge_info_mm=10.0,
        bridge_warning_mm=16.0,
        bridge_error_mm=30.0,
        contact_error_mm2=4.0,
        contact_share=0.01,
        tip_deg=10.0,
        slenderness=8.0,
        unit_volume_mm3=9.0,
        infill=0.15,
    )


def _material(name: str) -> Material:
    known = MATERIALS.get(name.lower())
    if known is None:
        raise NotFoundError(
            f"no material {name!r}", code="material_not_found", remedy=f"known: {', '.join(MATERIALS)}"
        )
    return known


def to_dict(limits: Limits) -> dict[str, Any]:
    """Return the limits as JSON."""
    return asdict(limits)


def from_dict(document: dict[str, Any]) -> Limits:
    """Return the limits of `to_dict`. ValueError when a key is missing or too many."""
    wanted = {field.name for field in fields(Limits)}
    if set(document) != wanted:
        raise ValueError(f"not the limits of a check: {sorted(set(document) ^ wanted)[:5]}")
    width, depth, height = document["volume_mm"]
    return Limits(**{**document, "volume_mm": (float(width), float(depth), float(height))})
