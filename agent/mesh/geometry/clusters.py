"""From many points to a few places a person can look at."""

from __future__ import annotations

import itertools

import numpy as np

from agent.mesh.arrays import F64, I64
from agent.mesh.finding import MAX_FACES, MAX_PLACES, Place, Vector
from agent.mesh.geometry.labels import components, renumber

# Half of the 26 neighbours of a cell; the other half are seen from the other side.
_NEIGHBOURS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
_MAX_CELLS = 1 << 20
_MOST_POINTS = 50_000  # of more, every n-th is enough to say where


def cluster(points: F64, radius_mm: float) -> tuple[I64, int]:
    """Return the group of each point (n, 3) and the number of groups; points nearer than `radius_mm` share one."""
    low = points.min(axis=0)
    radius = max(radius_mm, float((points.max(axis=0) - low).max()) / _MAX_CELLS, 1e-9)
    cells = np.floor((points - low) / radius).astype(np.int64) + 1
    span = cells.max(axis=0) + 2
    keys = (cells[:, 0] * span[1] + cells[:, 1]) * span[2] + cells[:, 2]
    names, numbers = np.unique(keys, return_inverse=True)
    pairs: list[tuple[I64, I64]] = []
    for step in _NEIGHBOURS:
        wanted = names + (step[0] * span[1] + step[1]) * span[2] + step[2]
        at = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
        found = np.flatnonzero(names[at] == wanted)
        pairs.append((found, at[found]))
    labels = components(
        len(names), np.concatenate([one for one, _ in pairs]), np.concatenate([two for _, two in pairs])
    )
    groups, count = renumber(labels)
    return groups[numbers], count


def places(
    points: F64,
    faces: I64,
    *,
    weights: F64 | None = None,
    values: F64 | None = None,
    radius_mm: float = 2.0,
    limit: int = MAX_PLACES,
) -> tuple[Place, ...]:
    """Return the most important places: groups of points (n, 3) with the faces they lie on.

    The heaviest groups come first (by `weights`, else by number); with `values` the place is where the smallest one
    is, and carries it.
    """
    if len(points) == 0:
        return ()
    if len(points) > _MOST_POINTS:
        every = -(-len(points) // _MOST_POINTS)
        points, faces = points[::every], faces[::every]
        weights = None if weights is None else weights[::every]
        values = None if values is None else values[::every]
    groups, count = cluster(points, radius_mm)
    weights = np.ones(len(points)) if weights is None else weights
    totals = np.bincount(groups, weights=weights, minlength=count)
    order = np.lexsort((np.arange(count), -np.round(totals, 6)))[:limit]
    return tuple(
        _place(points[members], faces[members], None if values is None else values[members])
        for members in (np.flatnonzero(groups == group) for group in order)
    )


def _place(points: F64, faces: I64, values: F64 | None) -> Place:
    if values is None:
        middle = points.mean(axis=0)
        best = int(np.argmin(((points - middle) ** 2).sum(axis=1)))
    else:
        best = int(np.argmin(values))
    return Place(
        at_mm=vector(points[best]),
        low_mm=vector(points.min(axis=0)),
        high_mm=vector(points.max(axis=0)),
        faces=tuple(int(face) for face in np.unique(faces)[:MAX_FACES]),
        value=None if values is None else float(values[best]),
    )


def vector(point: F64) -> Vector:
    """Return three plain numbers."""
    return float(point[0]), float(point[1]), float(point[2])
