"""Pins and holes: thin, or narrow, in two directions and long in the third."""

from __future__ import annotations

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64, I64
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import CheckStatus, MeshFinding
from agent.mesh.geometry.clusters import cluster, places
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.thickness import across

_MOST = 2000  # candidates that are looked at; they are spread over the surface like the samples
_ROUND = 1.6  # the second width may be this much larger than the first
_SLACK_MM = 5e-3  # a hole drawn with corners is this much narrower across its flats


def check(part: Part) -> Outcome:
    """Report pins and holes that the nozzle cannot make."""
    limits = part.limits
    findings: list[MeshFinding] = []
    painted: dict[str, I64] = {}
    rows = (
        (
            "pin.thin", part.thickness.wall_mm, -1.0, limits.pin_warning_mm, limits.pin_info_mm, "pins",
            "make pins 2 mm and more, or print them lying",
        ),
        (
            "hole.small", part.thickness.gap_mm, 1.0, limits.hole_warning_mm, limits.hole_info_mm, "holes",
            "make holes larger and drill them; they come out 0.1 to 0.3 mm too small",
        ),
    )  # fmt: skip
    for identity, widths, side, warning, info, what, remedy in rows:
        middles, diameters, faces = _round_things(part, widths, side, info - _SLACK_MM)
        if len(middles) == 0:
            continue
        groups, _ = cluster(middles, max(2 * float(diameters.max()), 1.0))
        least = np.full(int(groups.max()) + 1, np.inf)
        np.minimum.at(least, groups, diameters)
        count, measured = len(least), float(least.min())
        is_warning = measured < warning - _SLACK_MM
        findings.append(
            MeshFinding(
                identity,
                Severity.WARNING if is_warning else Severity.INFO,
                f"{count} {what if count > 1 else what[:-1]} under {info:g} mm, the thinnest {measured:.2f} mm",
                remedy,
                measured=measured,
                limit=warning if is_warning else info,
                unit="mm",
                count=count,
                samples=len(part.thickness.samples.faces),
                places=places(middles, faces, values=diameters, radius_mm=max(1.0, float(diameters.max()))),
            )
        )
        painted[identity] = np.unique(faces)
    return Outcome(
        tuple(findings), CheckStatus.SAMPLED, f"{len(part.thickness.samples.faces)} rays each way", painted
    )


def _round_things(part: Part, widths: F64, side: float, limit_mm: float) -> tuple[F64, F64, I64]:
    """Return middle, diameter and a face of samples whose surroundings are narrow in two directions."""
    candidates = np.flatnonzero(widths < limit_mm)
    if len(candidates) > _MOST:
        candidates = candidates[:: -(-len(candidates) // _MOST)]
    found = part.thickness
    normals, width = found.normals[candidates], widths[candidates]
    middles = found.samples.points[candidates] + side * normals * (width / 2)[:, None]
    level = np.stack([normals[:, 1], -normals[:, 0], np.zeros(len(normals))], axis=1)
    length = np.sqrt((level**2).sum(axis=1))
    upright = length < 0.1
    level[upright] = np.array([1.0, 0.0, 0.0])
    level /= np.where(upright, 1.0, length)[:, None]
    # A normal that is nearly upright is not at a right angle to x; make it so.
    level -= (level * normals).sum(axis=1)[:, None] * normals
    level /= np.sqrt((level**2).sum(axis=1))[:, None]
    third = np.cross(normals, level)
    near = np.full(len(candidates), np.inf)
    far = np.full(len(candidates), np.inf)
    reach = limit_mm * _ROUND
    for direction, own in ((level, True), (third, False)):
        # The widest place of a round thing is its middle: both ways from there a face is half a diameter off.
        measured = across(part.rays, middles, direction, reach)
        if own:
            near = measured
        else:
            far = measured
    shorter, longer = np.minimum(near, far), np.maximum(near, far)
    is_round = (shorter <= _ROUND * width) & (longer > _ROUND * width)
    kept = np.flatnonzero(is_round)
    return middles[kept], width[kept], found.samples.faces[candidates][kept]
