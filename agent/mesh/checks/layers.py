"""What a layer lays into the air: islands, bridges, shelves; checked layer by layer."""

from __future__ import annotations

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64, I64, Bool
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import CheckStatus, MeshFinding
from agent.mesh.geometry.clusters import places
from agent.mesh.geometry.part import Part

_SHELF_MM = 2.0  # about five lines; less curls a little and holds


def check(part: Part) -> Outcome:
    """Report islands, bridges that are too long, and shelves that nothing holds at the far end."""
    columns = part.columns
    if columns.torn > 0.02 * len(np.unique(columns.cell)):
        detail = f"{columns.torn} of the columns through the part do not close: holes in the surface"
        return Outcome(status=CheckStatus.SAMPLED, detail=detail)
    hanging = part.hanging
    findings = [
        found
        for found in (
            _islands(part, hanging.is_island),
            _bridges(part, ~hanging.is_island & np.isfinite(hanging.span_mm)),
            _shelves(part, ~hanging.is_island & ~np.isfinite(hanging.span_mm)),
        )
        if found is not None
    ]
    layers = part.layers
    if layers.is_complete:
        return Outcome(tuple(findings))
    detail = f"{len(layers.numbers)} of {layers.total} layers, cells of {columns.pitch_mm:.2g} mm"
    return Outcome(tuple(findings), CheckStatus.SAMPLED, detail)


def _islands(part: Part, chosen: Bool) -> MeshFinding | None:
    hanging, columns = part.hanging, part.columns
    # One cell may be an artefact of the grid; a thing of one line width is reported by the wall check.
    groups = np.flatnonzero(chosen & (hanging.cells >= 2))
    if len(groups) == 0:
        return None
    area = hanging.cells[groups].astype(np.float64) * columns.pitch_mm**2
    points, heights = _spots(part, groups)
    has_supports = part.limits.has_supports
    lowest = float(heights.min())
    return MeshFinding(
        "island",
        Severity.WARNING if has_supports else Severity.ERROR,
        f"{_plural(len(groups), 'region begins', 'regions begin')} in the air, the lowest {lowest:.1f} mm up",
        "needs supports there" if has_supports else "allow supports, or turn the part: --orient",
        measured=float(len(groups)),
        limit=0.0,
        unit="regions",
        count=len(groups),
        area_mm2=float(area.sum()),
        places=places(points, _none(points), weights=area, radius_mm=part.place_radius_mm),
    )


def _bridges(part: Part, chosen: Bool) -> MeshFinding | None:
    limits, hanging = part.limits, part.hanging
    groups = np.flatnonzero(chosen & (hanging.span_mm > limits.bridge_info_mm))
    if len(groups) == 0:
        return None
    spans = hanging.span_mm[groups]
    longest = float(spans.max())
    limit, severity = limits.bridge_info_mm, Severity.INFO
    if longest > limits.bridge_error_mm and not limits.has_supports:
        limit, severity = limits.bridge_error_mm, Severity.ERROR
    elif longest > limits.bridge_warning_mm:
        limit, severity = limits.bridge_warning_mm, Severity.WARNING
    points, heights = _spots(part, groups)
    worst = int(np.argmax(spans))
    return MeshFinding(
        "bridge.span",
        severity,
        f"{_plural(len(groups), 'bridge', 'bridges')} over {limits.bridge_info_mm:g} mm, "
        f"the longest {longest:.1f} mm at height {heights[worst]:.1f} mm",
        "prints with some sag" if severity is Severity.INFO else "support it, or give it an arch or a pillar",
        measured=longest,
        limit=limit,
        unit="mm",
        count=len(groups),
        places=places(points, _none(points), values=-spans, radius_mm=part.place_radius_mm),
    )


def _shelves(part: Part, chosen: Bool) -> MeshFinding | None:
    hanging = part.hanging
    groups = np.flatnonzero(chosen & (hanging.reach_mm > _SHELF_MM))
    if len(groups) == 0:
        return None
    reach = hanging.reach_mm[groups]
    farthest = float(reach.max())
    points, heights = _spots(part, groups)
    severity = Severity.WARNING if part.limits.has_supports or farthest < 2 * _SHELF_MM else Severity.ERROR
    return MeshFinding(
        "shelf.reach",
        severity,
        f"{_plural(len(groups), 'shelf stands', 'shelves stand')} out up to {farthest:.1f} mm "
        f"with nothing below, from {heights.min():.1f} mm height",
        "needs supports, or a chamfer of 45 degrees below",
        measured=farthest,
        limit=_SHELF_MM,
        unit="mm",
        count=len(groups),
        places=places(points, _none(points), values=-reach, radius_mm=part.place_radius_mm),
    )


def _spots(part: Part, groups: I64) -> tuple[F64, F64]:
    """Return a point in the middle of each group, and its height above the bed."""
    hanging, layers = part.hanging, part.layers
    count = len(hanging.cells)
    heights = layers.height_mm(hanging.layer)
    points = part.columns.points(hanging.cell, heights + part.base_mm)
    sums = np.stack([np.bincount(hanging.group, points[:, axis], count) for axis in range(3)], axis=1)
    middles = sums / np.maximum(hanging.cells, 1)[:, None]
    return middles[groups], middles[groups, 2] - part.base_mm


def _none(points: F64) -> I64:
    return np.zeros(len(points), dtype=np.int64)


def _plural(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"
