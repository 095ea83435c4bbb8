"""How thick matter and how wide gaps are: along the normal, to a face that looks back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F64, I64, Bool
from agent.mesh.geometry.rays import Hits, RayGrid
from agent.mesh.geometry.sampling import Samples, sample
from agent.mesh.geometry.solid import Solid
from agent.mesh.limits import Limits

# The opposite face looks back within 45 degrees; without that the corners of sound parts would be "thin".
_OPPOSED = 0.7
_START_MM = 1e-4  # off the own face, into the matter or the gap
_TOUCH_MM = 2e-3  # a gap below this is none
_LONG_RAYS_AT_ONCE = 2048
_SAME_MM = 2e-5  # two crossings this near are one, seen by two faces that meet there


@dataclass(frozen=True, slots=True)
class Thickness:
    """Per sample: `wall_mm` of matter behind it and `gap_mm` of air before it; infinite beyond `length_mm`.

    `wall_cosine` and `gap_cosine` tell how squarely the opposite face looks back (1: parallel). Samples inside other
    matter have neither wall nor gap.
    """

    samples: Samples
    normals: F64
    wall_mm: F64
    wall_cosine: F64
    gap_mm: F64
    gap_cosine: F64
    length_mm: float


def measure(solid: Solid, rays: RayGrid, limits: Limits, seed: int) -> Thickness:
    """Cast a ray from every sample into the matter and one out of it."""
    samples = sample(solid, seed)
    normals = solid.normals[samples.faces].astype(np.float64)
    length = limits.max_thickness_mm
    count = len(samples.faces)
    inward = rays.cross(samples.points - _START_MM * normals, -normals, length)
    wall, wall_cosine = _behind(inward, count)
    # The outward ray begins just inside: a body that touches here begins within the window.
    outward = rays.cross(samples.points - _TOUCH_MM * normals, normals, length)
    gap, gap_cosine, hidden = _before(outward, samples.faces, count)
    thin = np.flatnonzero((np.isfinite(wall) | np.isfinite(gap)) & ~hidden)
    if solid.bodies[1] > 1:
        hidden[thin] |= inside(rays, samples.points[thin] + _TOUCH_MM * normals[thin], normals[thin], solid)
    wall[hidden], gap[hidden] = np.inf, np.inf
    return Thickness(samples, normals, wall + _START_MM, wall_cosine, gap - _TOUCH_MM, gap_cosine, length)


def inside(rays: RayGrid, points: F64, directions: F64, solid: Solid) -> Bool:
    """Tell which points lie in matter: a ray to the end of the part leaves more bodies than it enters."""
    reach = float(np.sqrt(((solid.vertices.max(axis=0) - solid.vertices.min(axis=0)) ** 2).sum()))
    balance = np.zeros(len(points))
    for start in range(0, len(points), _LONG_RAYS_AT_ONCE):
        part = slice(start, start + _LONG_RAYS_AT_ONCE)
        ray, _, cosine = _distinct(rays.cross(points[part], directions[part], reach))
        np.add.at(balance, ray + start, np.sign(cosine))
    return balance > 0


def _behind(hits: Hits, count: int) -> tuple[F64, F64]:
    """Return where each ray leaves the matter, through a face that looks along it, and the cosine there."""
    ray, distance, cosine = _distinct(hits)
    found, squarely = np.full(count, np.inf), np.zeros(count)
    if len(ray) == 0:
        return found, squarely
    starts = np.flatnonzero(np.concatenate(([True], ray[1:] != ray[:-1])))
    turn = np.where(cosine > 0, -1, 1)
    depth = np.cumsum(turn)
    base = np.repeat(np.where(starts > 0, depth[starts - 1], 0), np.diff(np.append(starts, len(ray))))
    # The ray starts in one body; it is out when that and every body entered since has been left.
    out = np.flatnonzero(depth - base <= -1)
    rays, first = np.unique(ray[out], return_index=True)
    at = out[first]
    opposed = cosine[at] > _OPPOSED
    found[rays[opposed]] = distance[at[opposed]]
    squarely[rays[opposed]] = cosine[at[opposed]]
    return found, squarely


def _before(hits: Hits, own: I64, count: int) -> tuple[F64, F64, Bool]:
    """Return where each ray enters matter, the cosine there, and whether the sample is hidden in other matter.

    Hidden: a face that looks back lies on the sample, or the first face beyond it is left and not entered.
    """
    foreign = hits.face != own[hits.ray]
    near = foreign & (hits.distance_mm < 2 * _TOUCH_MM)
    hidden = np.zeros(count, dtype=bool)
    hidden[hits.ray[near & (hits.cosine < -_OPPOSED)]] = True
    beyond = foreign & ~near
    ray, distance, cosine = _distinct(
        Hits(hits.ray[beyond], hits.distance_mm[beyond], hits.face[beyond], hits.cosine[beyond])
    )
    found, squarely = np.full(count, np.inf), np.zeros(count)
    rays, at = np.unique(ray, return_index=True)
    hidden[rays[cosine[at] > 0]] = True
    opposed = cosine[at] < -_OPPOSED
    found[rays[opposed]] = distance[at[opposed]]
    squarely[rays[opposed]] = -cosine[at[opposed]]
    return found, squarely, hidden


def _distinct(hits: Hits) -> tuple[I64, F64, F64]:
    """Drop faces met edge-on and the second of two faces that meet where the ray passes."""
    usable = np.abs(hits.cosine) > 1e-6
    ray, distance, cosine = hits.ray[usable], hits.distance_mm[usable], hits.cosine[usable]
    # Entries before exits where both lie at one distance: bodies that touch are one piece of matter.
    order = np.lexsort((cosine > 0, np.round(distance / _SAME_MM), ray))
    ray, distance, cosine = ray[order], distance[order], cosine[order]
    if len(ray) == 0:
        return ray, distance, cosine
    twin = (
        (ray[1:] == ray[:-1])
        & (distance[1:] - distance[:-1] < _SAME_MM)
        & ((cosine[1:] > 0) == (cosine[:-1] > 0))
    )
    keep = np.concatenate(([True], ~twin))
    return ray[keep], distance[keep], cosine[keep]


def across(rays: RayGrid, middles: F64, directions: F64, length_mm: float) -> F64:
    """Return the free or filled width through `middles` along ±`directions`; infinite if a side has no face near."""
    widths = np.zeros(len(middles))
    for sign in (1.0, -1.0):
        hits = rays.cross(middles, sign * directions, length_mm)
        nearest = np.full(len(middles), np.inf)
        ray, at = np.unique(hits.ray, return_index=True)
        nearest[ray] = hits.distance_mm[at]
        widths += nearest
    return widths
