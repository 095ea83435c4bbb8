"""Faces that are nothing (no area) or twice there."""

from __future__ import annotations

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import I64, Bool
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import CheckStatus, MeshFinding
from agent.mesh.geometry.budget import OverBudgetError
from agent.mesh.geometry.clusters import places
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.solid import Solid

_MIX = np.uint64(0x9E3779B97F4A7C15)  # the sum over three mixed vertex numbers does not depend on their order


def check(part: Part) -> Outcome:
    """Count faces without area and faces with the same three corners."""
    findings: list[MeshFinding] = []
    painted: dict[str, I64] = {}
    if part.survey.degenerate:
        count = part.survey.degenerate
        findings.append(
            MeshFinding(
                "mesh.degenerate",
                Severity.INFO,
                f"{count} faces have no area",
                "nothing to do: slicers drop them",
                measured=float(count),
                limit=0.0,
                unit="faces",
                count=count,
            )
        )
    try:
        doubled = duplicates(part.solid)
    except OverBudgetError as error:
        # Duplicates also show as over-shared edges, which were counted on every face.
        return Outcome(tuple(findings), CheckStatus.SAMPLED, str(error))
    if len(doubled):
        centres = part.solid.centres(doubled)
        opposed = bool(back_to_back(part.solid, doubled).all())
        findings.append(
            MeshFinding(
                "mesh.duplicate_faces",
                Severity.INFO if opposed else Severity.WARNING,
                f"{len(doubled)} faces are there twice" + (", back to back: bodies touch" if opposed else ""),
                "nothing to do: slicers join the bodies" if opposed else "remove them: --repair does",
                measured=float(len(doubled)),
                limit=0.0,
                unit="faces",
                count=len(doubled),
                places=places(centres, doubled, radius_mm=part.place_radius_mm),
            )
        )
        painted["mesh.duplicate_faces"] = doubled
    return Outcome(tuple(findings), painted=painted)


def duplicates(solid: Solid) -> I64:
    """Return the faces whose three vertices an earlier face has too, whatever the winding; in file order."""
    vertices = solid.faces.astype(np.uint64)
    mixed = vertices * _MIX
    mixed ^= mixed >> np.uint64(31)
    keys = (mixed * _MIX).sum(axis=1)
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.empty(0, dtype=np.int64)
    order = np.lexsort((np.arange(solid.count), keys))
    corners = np.sort(solid.faces[order], axis=1)
    same = (corners[1:] == corners[:-1]).all(axis=1)
    real = (corners[1:, 0] != corners[1:, 1]) & (corners[1:, 1] != corners[1:, 2])
    return np.sort(order[1:][same & real])


def back_to_back(solid: Solid, doubled: I64) -> Bool:
    """Tell which doubled faces look against their twins: there bodies touch."""
    ordered = np.sort(solid.faces, axis=1).astype(np.int64)
    count = len(solid.vertices)
    keys = (ordered[:, 0] * count + ordered[:, 1]) ^ (ordered[:, 2] << np.int64(40))
    names, group = np.unique(keys[doubled], return_inverse=True)
    at = np.minimum(np.searchsorted(names, keys), len(names) - 1)
    members = np.flatnonzero(names[at] == keys)
    total = np.zeros((len(names), 3))
    np.add.at(total, at[members], solid.normals[members].astype(np.float64))
    many = np.bincount(at[members], minlength=len(names))
    length = np.sqrt((total**2).sum(axis=1))
    return np.asarray((length < 0.5 * many)[group])
