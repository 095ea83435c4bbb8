"""Walls, floors and gaps: rays along the normal to a face that looks back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64, I64
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import CheckStatus, MeshFinding
from agent.mesh.geometry.clusters import places
from agent.mesh.geometry.part import Part

_FLAT = 0.9  # |z| of a normal above which matter is counted in layers and not in lines
_LEAST_SHARE = 1e-4  # of the surface; below that a reading is an edge or a fillet's end
_PARALLEL = 0.985  # within 10 degrees: edges of wedges and fillets run out to nothing and print all the same
_SLACK_MM = 1e-3  # a wall of exactly two lines is sound


@dataclass(frozen=True, slots=True)
class _Step:
    """Below `limit_mm` on more than `share` of the surface the finding has `severity`."""

    limit_mm: float
    share: float
    severity: Severity


def check(part: Part) -> Outcome:
    """Report the thinnest walls and floors and the narrowest gaps."""
    found, limits = part.thickness, part.limits
    flat = np.abs(found.normals[:, 2]) > _FLAT
    wall = np.where(found.wall_cosine > _PARALLEL, found.wall_mm, np.inf)
    gap = np.where(found.gap_cosine > _PARALLEL, found.gap_mm, np.inf)
    wall_steps = (
        _Step(limits.wall_error_mm, limits.wall_error_share, Severity.ERROR),
        _Step(limits.wall_warning_mm, _LEAST_SHARE, Severity.WARNING),
        _Step(limits.wall_info_mm, _LEAST_SHARE, Severity.INFO),
    )
    floor_steps = (
        _Step(limits.layer_mm, limits.wall_error_share, Severity.ERROR),
        _Step(limits.floor_warning_mm, _LEAST_SHARE, Severity.WARNING),
    )
    gap_steps = (
        _Step(limits.gap_warning_mm, _LEAST_SHARE, Severity.WARNING),
        _Step(limits.gap_info_mm, _LEAST_SHARE, Severity.INFO),
    )
    findings: list[MeshFinding] = []
    painted: dict[str, I64] = {}
    for identity, values, steps, words in (
        ("wall.thin", np.where(flat, np.inf, wall), wall_steps, _WALL),
        ("floor.thin", np.where(flat, wall, np.inf), floor_steps, _FLOOR),
        ("gap.narrow", gap, gap_steps, _GAP),
    ):
        finding, faces = _judge(part, identity, values, steps, words)
        if finding is not None:
            findings.append(finding)
            painted[identity] = faces
    return Outcome(tuple(findings), CheckStatus.SAMPLED, f"{len(found.samples.faces)} rays each way", painted)


@dataclass(frozen=True, slots=True)
class _Words:
    what: str
    remedies: dict[Severity, str]


_WALL = _Words(
    "walls",
    {
        Severity.ERROR: "thicken them to two line widths: less than the nozzle is not laid at all",
        Severity.WARNING: "thicken them to two line widths, or let the slicer print thin walls",
        Severity.INFO: "sound, but three line widths are stiffer",
    },
)
_FLOOR = _Words(
    "floors and ceilings",
    {
        Severity.ERROR: "thicken them: less than a layer is not printed",
        Severity.WARNING: "thicken them to three layers, they show holes else",
    },
)
_GAP = _Words(
    "gaps",
    {
        Severity.WARNING: "widen them: they close while printing",
        Severity.INFO: "parts that must move need 0.3 mm and more",
    },
)


def _judge(
    part: Part, identity: str, values: F64, steps: tuple[_Step, ...], words: _Words
) -> tuple[MeshFinding | None, I64]:
    samples = part.thickness.samples
    total = float(samples.areas.sum())
    for step in steps:
        bad = np.flatnonzero(values < step.limit_mm - _SLACK_MM)
        area = float(samples.areas[bad].sum())
        if len(bad) == 0 or area / total < step.share:
            continue
        measured = float(values[bad].min())
        where = places(
            samples.points[bad],
            samples.faces[bad],
            weights=samples.areas[bad],
            values=values[bad],
            radius_mm=part.place_radius_mm,
        )
        finding = MeshFinding(
            identity,
            step.severity,
            f"{words.what} of {measured:.2f} mm on {100 * area / total:.2g} % of the surface",
            words.remedies[step.severity],
            measured=measured,
            limit=step.limit_mm,
            unit="mm",
            area_mm2=part.survey.area_mm2 * area / total,
            share=area / total,
            samples=len(samples.faces),
            places=where,
        )
        return finding, np.unique(samples.faces[bad])
    return None, np.empty(0, dtype=np.int64)
