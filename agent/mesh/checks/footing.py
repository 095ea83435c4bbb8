"""How the part stands: what lies on the bed, whether it tips, also while it grows."""

from __future__ import annotations

import math

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import CheckStatus, MeshFinding, Place
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.section import Section, cut, hull, margin

_LEAST_HEIGHT_MM = 10.0  # lower parts do not tip, whatever their figures


def check(part: Part) -> Outcome:
    """Report a footing that is too small, a centre of mass beside it, and a slender part."""
    height = part.base_mm + part.limits.layer_mm / 2
    first = cut(part.source, height)
    findings = [*_contact(part, first)]
    if len(first.segments):
        findings += _stability(part, _foot(part, first), first.area_mm2)
    if part.layers.is_complete:
        return Outcome(tuple(findings))
    return Outcome(
        tuple(findings), CheckStatus.SAMPLED, f"{len(part.layers.numbers)} of {part.layers.total} layers"
    )


def _foot(part: Part, first: Section) -> F64:
    """Return the hull of what stands on the bed: the first layer, and supports that grow from the bed."""
    points = first.segments.reshape(-1, 2)
    columns = part.columns
    if part.limits.has_supports and len(columns.cell):
        lowest = np.concatenate(([True], columns.cell[1:] != columns.cell[:-1]))
        free = columns.bottom - part.base_mm > part.limits.layer_mm
        held = np.flatnonzero(lowest & free & (columns.slope > part.limits.overhang_deg))
        points = np.concatenate([points, columns.points(columns.cell[held], columns.bottom[held])[:, :2]])
    return hull(points)


def _contact(part: Part, first: Section) -> list[MeshFinding]:
    limits, area = part.limits, first.area_mm2
    footprint = float(part.survey.size[0] * part.survey.size[1])
    share = area / footprint if footprint else 0.0
    if area >= limits.contact_error_mm2 and share >= limits.contact_share:
        return []
    is_error = area < limits.contact_error_mm2 and not limits.has_supports
    limit = limits.contact_error_mm2 if area < limits.contact_error_mm2 else limits.contact_share * footprint
    return [
        MeshFinding(
            "bed.contact",
            Severity.ERROR if is_error else Severity.WARNING,
            f"only {area:.2g} mm² of the first layer lie on the bed, {100 * share:.2g} % of the footprint",
            "lay it on a flat side: --orient, or print with supports or a raft",
            measured=area,
            limit=limit,
            unit="mm²",
            area_mm2=area,
            share=min(share, 1.0),
        )
    ]


def _stability(part: Part, foot: F64, area: float) -> list[MeshFinding]:
    limits = part.limits
    height = float(part.survey.size[2])
    if height < _LEAST_HEIGHT_MM:
        return []
    centre, margins, tops = _growth(part, foot)
    worst = int(np.argmin(margins))
    if margins[worst] < 0:
        return [_tips(part, float(margins[worst]), float(tops[worst]), centre[worst])]
    lift = max(float(centre[-1][2]) - part.base_mm, 1e-6)
    angle = math.degrees(math.atan2(float(margins[-1]), lift))
    slender = height / math.sqrt(max(area, 1e-6))
    if angle < limits.tip_deg:
        return [
            MeshFinding(
                "stability.tip",
                Severity.WARNING,
                f"a tilt of {angle:.1f} degrees tips it: the centre of mass is {lift:.0f} mm up, "
                f"{margins[-1]:.1f} mm inside the footing",
                "print it with a brim, or lying: --orient",
                measured=angle,
                limit=limits.tip_deg,
                unit="degrees",
                places=(_spot(centre[-1]),),
            )
        ]
    if slender > limits.slenderness:
        return [
            MeshFinding(
                "stability.slender",
                Severity.WARNING,
                f"it is {slender:.1f} times as high as its footing is wide",
                "print it with a brim and slowly, or lying: --orient",
                measured=slender,
                limit=limits.slenderness,
                unit="times",
                places=(_spot(centre[-1]),),
            )
        ]
    return []


def _tips(part: Part, inside: float, top: float, centre: F64) -> MeshFinding:
    is_whole = top >= float(part.survey.size[2]) - part.limits.layer_mm
    when = "it tips over" if is_whole else f"it tips over while it is printed, at a height of {top:.1f} mm"
    return MeshFinding(
        "stability.tips_over",
        Severity.WARNING if part.limits.has_supports and not is_whole else Severity.ERROR,
        f"{when}: the centre of mass is {-inside:.1f} mm beside the footing",
        "turn it: --orient, widen the footing, or cut the part",
        measured=inside,
        limit=0.0,
        unit="mm",
        places=(_spot(centre),),
    )


def _growth(part: Part, foot: F64) -> tuple[F64, F64, F64]:
    """Return centre of mass, margin inside the footing and height of the part after each layer; the last is exact."""
    layers, columns = part.layers, part.columns
    rows, cols = columns.shape
    by_column = layers.filled.sum(axis=1).astype(np.float64)
    by_row = layers.filled.sum(axis=2).astype(np.float64)
    mass = by_column.sum(axis=1)
    x = by_column @ (np.arange(cols) * columns.pitch_mm + columns.origin[0])
    y = by_row @ (np.arange(rows) * columns.pitch_mm + columns.origin[1])
    heights = (layers.numbers + 0.5) * layers.layer_mm
    total = np.cumsum(mass)
    has_mass = total > 0
    total = np.where(has_mass, total, 1.0)
    centres = np.stack(
        [np.cumsum(x) / total, np.cumsum(y) / total, np.cumsum(mass * heights) / total], axis=1
    )
    centres[:, 2] += part.base_mm
    tops = heights + layers.layer_mm / 2
    grown = has_mass & (tops >= _LEAST_HEIGHT_MM)
    centres, tops = centres[grown], tops[grown]
    if part.survey.volume_mm3 > 0 and part.survey.edges.open == 0:
        centres = np.concatenate([centres[:-1], part.survey.centre[None, :]])
        tops = np.append(tops[:-1], float(part.survey.size[2]))
    return centres, margin(foot, centres[:, :2]), np.asarray(tops, dtype=np.float64)


def _spot(point: F64) -> Place:
    at = (float(point[0]), float(point[1]), float(point[2]))
    return Place(at, at, at)
