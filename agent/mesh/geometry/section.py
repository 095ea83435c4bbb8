"""A level cut through a mesh of any size: oriented segments, their area and centre, and hulls in the plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F32, F64
from agent.mesh.load.source import TriangleSource


@dataclass(frozen=True, slots=True)
class Section:
    """Segments (n, 2, 2) in mm with matter on their left; `area_mm2` counts overlapping bodies twice."""

    segments: F64
    area_mm2: float


def cut(source: TriangleSource, height_mm: float) -> Section:
    """Return the section at a height. Exact for flat facets."""
    found = [part for corners in source.blocks() if len(part := _segments(corners, height_mm))]
    segments = np.concatenate(found) if found else np.empty((0, 2, 2))
    if len(segments) == 0:
        return Section(segments, 0.0)
    local = segments - segments[0, 0]
    area = float((local[:, 0, 0] * local[:, 1, 1] - local[:, 0, 1] * local[:, 1, 0]).sum() / 2)
    return Section(segments, abs(area))


def _segments(block: F32, height: float) -> F64:
    above = block[:, :, 2] > height
    count = above[:, 0].astype(np.int8) + above[:, 1] + above[:, 2]
    cut_ = np.flatnonzero((count > 0) & (count < 3))
    corners, above, count = block[cut_].astype(np.float64), above[cut_], count[cut_]
    # The corner that is alone on its side comes first; the order of the others stays.
    alone = np.where(count == 1, np.argmax(above, axis=1), np.argmin(above, axis=1))
    rows = np.arange(len(cut_))
    a, b, c = (corners[rows, (alone + step) % 3] for step in range(3))
    start, end = _at(a, b, height), _at(a, c, height)
    swap = count == 1
    first = np.where(swap[:, None], end, start)
    second = np.where(swap[:, None], start, end)
    return np.stack([first, second], axis=1)


def _at(one: F64, two: F64, height: float) -> F64:
    share = (height - one[:, 2]) / (two[:, 2] - one[:, 2])
    return np.asarray(one[:, :2] + share[:, None] * (two[:, :2] - one[:, :2]))


def hull(points: F64) -> F64:
    """Return the corners of the convex hull of points (n, 2), anticlockwise (Andrew's chain)."""
    points = np.unique(points, axis=0)
    if len(points) < 3:
        return points
    # Of many points above each other only the lowest and highest can be corners.
    first = np.flatnonzero(np.concatenate(([True], points[1:, 0] != points[:-1, 0])))
    last = np.append(first[1:] - 1, len(points) - 1)
    kept = points[np.unique(np.concatenate((first, last)))].tolist()
    lower = _chain(kept)
    upper = _chain(kept[::-1])
    return np.array(lower[:-1] + upper[:-1])


def _chain(points: list[list[float]]) -> list[list[float]]:
    chain: list[list[float]] = []
    for point in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(one: list[float], two: list[float], three: list[float]) -> float:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def margin(corners: F64, points: F64) -> F64:
    """Return how far inside the hull the points (n, 2) lie in mm; negative outside, -inf without a hull."""
    if len(corners) < 3:
        return np.full(len(points), -np.inf)
    following = np.roll(corners, -1, axis=0)
    edges = following - corners
    lengths = np.sqrt((edges**2).sum(axis=1))
    keep = lengths > 0
    inward = np.stack([-edges[keep, 1], edges[keep, 0]], axis=1) / lengths[keep, None]
    away = np.einsum("pek,ek->pe", points[:, None, :] - corners[keep][None, :, :], inward)
    return np.asarray(away.min(axis=1))
