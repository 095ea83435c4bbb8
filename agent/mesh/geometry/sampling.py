"""Points on a surface: evenly by area, and for small meshes also at every face's middle and corners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F64, I64
from agent.mesh.geometry.solid import Solid

EVEN_SAMPLES = 10_000
_EACH_FACE_UP_TO = 6_000
# Not quite the middle and not quite the corners, so that rays do not hit the edges of regular meshes.
_MIDDLE = (0.3311, 0.3407, 0.3282)
_CORNERS = ((0.9786, 0.0111, 0.0103), (0.0103, 0.9786, 0.0111), (0.0111, 0.0103, 0.9786))
_GOLDEN = (
    0.7548776662466927,
    0.5698402909980532,
)  # the plastic number's powers: an even sequence in the square


@dataclass(frozen=True, slots=True)
class Samples:
    """Points (n, 3) with their face and the area each stands for; extra points stand for none."""

    points: F64
    faces: I64
    areas: F64


def sample(solid: Solid, seed: int, count: int = EVEN_SAMPLES) -> Samples:
    """Return points on the surface; the same for the same mesh and seed on every machine."""
    total = np.cumsum(solid.areas)
    shift = (seed % 997) / 997
    positions = (np.arange(count) + shift) / count * total[-1]
    faces = np.minimum(np.searchsorted(total, positions, side="right"), solid.count - 1)
    index = np.arange(count) + 1
    u = (index * _GOLDEN[0] + shift) % 1.0
    v = (index * _GOLDEN[1] + shift) % 1.0
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    weights = np.stack([1 - u - v, u, v], axis=1)
    all_faces, all_weights = [faces], [weights]
    if solid.count <= _EACH_FACE_UP_TO:
        every = np.flatnonzero(solid.areas > 0)
        for barycentric in (_MIDDLE, *_CORNERS):
            all_faces.append(every)
            all_weights.append(np.tile(barycentric, (len(every), 1)))
    chosen, mixed = np.concatenate(all_faces), np.concatenate(all_weights)
    points = np.einsum("ij,ijk->ik", mixed, solid.vertices[solid.faces[chosen]])
    areas = np.zeros(len(chosen))
    areas[:count] = total[-1] / count
    return Samples(points, chosen.astype(np.int64), areas)
