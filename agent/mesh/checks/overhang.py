"""Faces that look down more than the material allows, by their exact angle; the bed carries its own."""

from __future__ import annotations

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import Bool
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import MeshFinding
from agent.mesh.geometry.budget import OverBudgetError
from agent.mesh.geometry.clusters import places
from agent.mesh.geometry.part import Part

_NOTHING_MM2 = 1.0
_CEILING_DEG = 85.0
_BELOW_MM = 0.02


def check(part: Part) -> Outcome:
    """Report the area that overhangs, and how much of it is steep."""
    survey, limits = part.survey, part.limits
    area = float(survey.down_area_mm2.sum(dtype=np.float64))
    if area < _NOTHING_MM2:
        return Outcome()
    carried = _carried(part)
    faces, areas, slopes = (
        survey.down_faces[~carried],
        survey.down_area_mm2[~carried],
        survey.down_deg[~carried],
    )
    area = float(areas.sum(dtype=np.float64))
    if area < _NOTHING_MM2:
        return Outcome()
    share = area / survey.area_mm2
    bridged = _bridged(part, float(areas[slopes > _CEILING_DEG].sum(dtype=np.float64)))
    steep = float(areas[slopes > limits.steep_deg].sum(dtype=np.float64))
    rest = area - bridged
    is_much = rest > limits.overhang_area_mm2 and rest / survey.area_mm2 > limits.overhang_share
    remedy = "print it with supports, or turn it: --orient" if is_much else "small enough to print as it is"
    finding = MeshFinding(
        "overhang.area",
        Severity.WARNING if is_much else Severity.INFO,
        f"{area:.0f} mm² look down more than {limits.overhang_deg:g} degrees from the vertical, "
        f"{steep:.0f} mm² of them more than {limits.steep_deg:g}"
        + (f"; {bridged:.0f} mm² are short bridges" if bridged >= _NOTHING_MM2 else ""),
        remedy,
        measured=area,
        limit=limits.overhang_area_mm2,
        unit="mm²",
        count=len(faces),
        area_mm2=area,
        share=share,
        places=places(
            survey.down_centres[~carried].astype(np.float64),
            faces,
            weights=areas.astype(np.float64),
            radius_mm=part.place_radius_mm,
        ),
    )
    return Outcome((finding,), painted={finding.id: faces})


def _carried(part: Part) -> Bool:
    """Tell which ceilings rest on another body: where bodies touch, matter goes on below."""
    survey, columns = part.survey, part.columns
    carried = np.zeros(len(survey.down_faces), dtype=bool)
    if survey.edges.shared == 0 and not _has_bodies(part):
        return carried
    flat = np.flatnonzero(survey.down_deg > _CEILING_DEG)
    carried[flat] = columns.is_filled(survey.down_centres[flat].astype(np.float64) - [0.0, 0.0, _BELOW_MM])
    return carried


def _has_bodies(part: Part) -> bool:
    try:
        return part.solid.bodies[1] > 1
    except OverBudgetError:
        return False


def _bridged(part: Part, ceiling_mm2: float) -> float:
    """Return how much of the flat ceilings is short bridges, which print without supports."""
    hanging, limits = part.hanging, part.limits
    cells = float(hanging.cells.sum())
    if cells == 0:
        return ceiling_mm2  # narrower than two lines
    short = hanging.span_mm <= limits.bridge_warning_mm
    return ceiling_mm2 * float(hanging.cells[short].sum()) / cells
