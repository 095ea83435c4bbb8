"""Edge classes: holes, cracks, flipped faces, bodies that touch; more useful than a yes or no to "watertight"."""

from __future__ import annotations

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64, I64
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import MeshFinding
from agent.mesh.geometry.clusters import cluster, places
from agent.mesh.geometry.edges import BadEdges, EdgeClass, locate
from agent.mesh.geometry.labels import components
from agent.mesh.geometry.part import Part

_CRACK_SHARE = 0.005  # of the part's size: in a tiny part a small gap is a hole
_NEAR_AT_ONCE = 1500  # open vertices compared pair by pair; more are compared by cells


def check(part: Part) -> Outcome:
    """Find open, flipped and over-shared edges with their places, and a surface that is inside out."""
    census = part.survey.edges
    findings: list[MeshFinding] = []
    painted: dict[str, I64] = {}
    if len(census.bad_keys):
        bad = locate(part.source, part.hasher, census)
        if census.open:
            findings.append(_open(part, bad))
        findings += _others(part, bad)
        for finding in findings:
            painted[finding.id] = np.unique(bad.faces[_of_class(bad, _CLASS_OF[finding.id])])
    if part.survey.volume_mm3 < 0 and not census.open:
        findings.append(
            MeshFinding(
                "mesh.inside_out",
                Severity.WARNING,
                "the whole surface is inside out",
                "turn it over: --repair does",
                measured=part.survey.volume_mm3,
                limit=0.0,
                unit="mm³",
            )
        )
    return Outcome(tuple(findings), painted=painted)


_CLASS_OF = {
    "mesh.open_edges": EdgeClass.OPEN,
    "mesh.flipped": EdgeClass.FLIPPED,
    "mesh.shared_edges": EdgeClass.SHARED,
    "mesh.nonmanifold_edges": EdgeClass.TANGLED,
}


def _open(part: Part, bad: BadEdges) -> MeshFinding:
    mine = np.flatnonzero(_of_class(bad, EdgeClass.OPEN))
    ends, hashes = bad.ends[mine].astype(np.float64), bad.hashes[mine]
    names, index = np.unique(hashes.reshape(-1), return_inverse=True)
    pairs = index.reshape(-1, 2)
    loops = len(np.unique(components(len(names), pairs[:, 0], pairs[:, 1])))
    limit = min(part.limits.crack_mm, _CRACK_SHARE * float(part.survey.size.max()))
    gap = _crack(ends, pairs, len(names), limit)
    where = places(ends.mean(axis=1), bad.faces[mine], radius_mm=part.place_radius_mm)
    count = part.survey.edges.open
    if gap is not None:
        return MeshFinding(
            "mesh.open_edges",
            Severity.WARNING,
            f"{count} open edges along cracks of at most {gap:.3g} mm",
            "slicers close such cracks; merge the vertices to be sure",
            measured=gap,
            limit=limit,
            unit="mm",
            count=count,
            places=where,
        )
    holes = "1 hole" if loops == 1 else f"{loops} holes"
    return MeshFinding(
        "mesh.open_edges",
        Severity.ERROR,
        f"the surface is open: {count} edges around {holes}, {_length(ends):.4g} mm of rim",
        "close the holes where the model was made; --repair --fill-holes closes small ones",
        measured=float(count),
        limit=0.0,
        unit="edges",
        count=loops,
        places=where,
    )


def _crack(ends: F64, pairs: I64, vertices: int, limit_mm: float) -> float | None:
    """Return the widest gap if bringing near vertices together closes everything, else None."""
    points = np.zeros((vertices, 3))
    points[pairs.reshape(-1)] = ends.reshape(-1, 3)
    groups, gap = _near(points, limit_mm)
    one, two = groups[pairs[:, 0]], groups[pairs[:, 1]]
    stays = one != two
    one, two = one[stays], two[stays]
    keys = np.minimum(one, two) * vertices + np.maximum(one, two)
    _, edge = np.unique(keys, return_inverse=True)
    balance = np.bincount(edge, weights=np.where(one < two, 1.0, -1.0)) if len(edge) else np.zeros(0)
    return gap if not balance.any() else None


def _near(points: F64, radius: float) -> tuple[I64, float]:
    """Group points nearer than `radius`; also return the widest distance that was bridged."""
    if len(points) > _NEAR_AT_ONCE:
        groups, _ = cluster(points, radius / 4)
        return groups, radius
    square = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    one, two = np.nonzero(np.triu(square <= radius * radius, 1))
    gap = float(np.sqrt(square[one, two].max())) if len(one) else 0.0
    return components(len(points), one, two), gap


def _others(part: Part, bad: BadEdges) -> list[MeshFinding]:
    census = part.survey.edges
    rows = (
        (
            "mesh.flipped", census.flipped, Severity.WARNING,
            "edges whose two faces look to different sides: faces are flipped",
            "slicers turn them; --repair does it for good",
        ),
        (
            "mesh.nonmanifold_edges", census.tangled, Severity.WARNING,
            "edges where surplus faces meet",
            "remove doubled or inner faces; --repair removes exact duplicates",
        ),
        (
            "mesh.shared_edges", census.shared, Severity.INFO,
            "edges where bodies touch", "nothing to do: slicers join them",
        ),
    )  # fmt: skip
    found = []
    for identity, count, severity, message, remedy in rows:
        if count:
            mine = np.flatnonzero(_of_class(bad, _CLASS_OF[identity]))
            middles = bad.ends[mine].astype(np.float64).mean(axis=1)
            found.append(
                MeshFinding(
                    identity,
                    severity,
                    f"{count} {message}",
                    remedy,
                    measured=float(count),
                    limit=0.0,
                    unit="edges",
                    count=count,
                    places=places(middles, bad.faces[mine], radius_mm=part.place_radius_mm),
                )
            )
    return found


def _of_class(bad: BadEdges, kind: EdgeClass) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(bad.classes == kind)


def _length(ends: F64) -> float:
    return float(np.sqrt(((ends[:, 1] - ends[:, 0]) ** 2).sum(axis=1)).sum())
