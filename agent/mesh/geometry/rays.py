"""Short rays against a mesh: a uniform grid, walked cell by cell for all rays at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F32, F64, I32, I64, Bool
from agent.mesh.geometry.budget import OverBudgetError
from agent.mesh.geometry.solid import Solid

_MAX_GRID = 4_000_000  # cells
_ENTRIES_PER_FACE = 4
_SPARE_ENTRIES = 300_000
_FINE_FACES = 60_000  # smaller meshes get cells that are smaller than their faces
_RAYS_AT_ONCE = 8192
_PAIRS_AT_ONCE = 200_000
_ENTRIES_AT_ONCE = 1 << 19
MAX_TESTS = 20_000_000  # of a ray against a face, in all; sound meshes of any size take below 20 million
_PARALLEL = 1e-12


@dataclass(frozen=True, slots=True)
class Hits:
    """Crossings of rays with faces, sorted by ray and distance; `leaves` tells that the ray leaves the matter."""

    ray: I64
    distance_mm: F64
    face: I64
    cosine: F64  # of the angle between ray and face normal: 1 leaves at a right angle


class RayGrid:
    """Faces of a solid in cells; answers which faces rays cross within a length.

    A face is listed in every cell that its box reaches into; where `is_trimmed`, only in those it really touches.
    """

    def __init__(self, solid: Solid) -> None:
        self._solid = solid
        self._spent = 0
        self.low, self.high = _boxes(solid)
        self._low = self.low.min(axis=0).astype(np.float64) - 1e-3
        size = self.high.max(axis=0).astype(np.float64) + 1e-3 - self._low
        edge = 2.0 * math.sqrt(float(solid.areas.sum()) / max(solid.count, _FINE_FACES))
        edge = max(edge, float(np.cbrt(np.prod(size) / _MAX_GRID)), float(size.max()) / 1000, 1e-6)
        budget = _ENTRIES_PER_FACE * solid.count + _SPARE_ENTRIES
        while True:
            self.edge_mm = edge
            self._shape = np.maximum(1, np.ceil(size / edge)).astype(np.int64)
            counts = self._spans()
            if int(counts.sum()) <= budget or int(self._shape.prod()) <= 8:
                break
            edge *= 1.4
        self._fill(counts)

    def cross(self, origins: F64, directions: F64, length_mm: float) -> Hits:
        """Return all faces that rays from `origins` along unit `directions` (n, 3) cross within `length_mm`."""
        found = [
            self._cross_some(origins[part], directions[part], length_mm, part.start)
            for part in (slice(at, at + _RAYS_AT_ONCE) for at in range(0, len(origins), _RAYS_AT_ONCE))
        ]
        if not found:
            none = np.empty(0)
            return Hits(none.astype(np.int64), none, none.astype(np.int64), none)
        ray, distance, face, cosine = (np.concatenate([one[n] for one in found]) for n in range(4))
        order = np.lexsort((face, np.round(distance, 6), ray))
        return Hits(ray[order].astype(np.int64), distance[order], face[order].astype(np.int64), cosine[order])

    def entries(self) -> tuple[I32, I32]:
        """Return the faces cell after cell, and where each cell begins (one more than there are cells)."""
        return self._faces, self._starts

    def cell_of(self, points: F32) -> I64:
        """Return the number of the cell that holds each point."""
        cells = self._cells(points)
        return np.asarray((cells[:, 0] * self._shape[1] + cells[:, 1]) * self._shape[2] + cells[:, 2])

    def _cells(self, points: F32) -> I64:
        cells = np.floor((points - self._low) / self.edge_mm).astype(np.int64)
        return np.asarray(np.clip(cells, 0, self._shape - 1))

    def _spans(self) -> I32:
        """Return how many cells the box of each face reaches into."""
        counts = np.ones(self._solid.count, dtype=np.int32)
        for axis in range(3):
            first = ((self.low[:, axis] - self._low[axis]) / self.edge_mm).astype(np.int32)
            last = ((self.high[:, axis] - self._low[axis]) / self.edge_mm).astype(np.int32)
            counts *= last - first + np.int32(1)
        return counts

    def _fill(self, counts: I32) -> None:
        """List the faces of each cell, cell after cell; some faces at a time, to bound the memory of temporaries."""
        is_coarse = int(counts.sum()) > 2 * _ENTRIES_PER_FACE * len(counts)
        self.is_trimmed = is_coarse
        ends = np.cumsum(counts, dtype=np.int64)
        cells: list[I32] = []
        faces: list[I32] = []
        start = 0
        while start < len(counts):
            reached = (int(ends[start - 1]) if start else 0) + _ENTRIES_AT_ONCE
            stop = max(start + 1, int(np.searchsorted(ends, reached)))
            cell, face = self._entries(start, stop, counts[start:stop], is_coarse=is_coarse)
            cells.append(cell)
            faces.append(face)
            start = stop
        cell, face = np.concatenate(cells), np.concatenate(faces)
        del cells, faces
        self._faces: I32 = face[np.argsort(cell)]
        per_cell = np.bincount(cell, minlength=int(self._shape.prod()))
        self._starts: I32 = np.concatenate(([0], np.cumsum(per_cell))).astype(np.int32)

    def _entries(self, start: int, stop: int, counts: I32, *, is_coarse: bool) -> tuple[I32, I32]:
        low = ((self.low[start:stop] - self._low) / self.edge_mm).astype(np.int32)
        high = ((self.high[start:stop] - self._low) / self.edge_mm).astype(np.int32)
        face = np.repeat(np.arange(stop - start, dtype=np.int32), counts)
        local = np.arange(len(face), dtype=np.int32) - np.repeat(
            np.cumsum(counts, dtype=np.int32) - counts, counts
        )
        spans = high - low + 1
        rest, z = np.divmod(local, spans[face, 2])
        x, y = np.divmod(rest, spans[face, 1])
        x, y, z = x + low[face, 0], y + low[face, 1], z + low[face, 2]
        face += np.int32(start)
        if is_coarse:
            touched = self._touched(face, np.stack([x, y, z], axis=1))
            face, x, y, z = face[touched], x[touched], y[touched], z[touched]
        shape = self._shape.astype(np.int32)
        return (x * shape[1] + y) * shape[2] + z, face

    def _touched(self, face: I32, cells: I32) -> Bool:
        """Tell which faces really reach into their cells: big slanted ones miss most cells of their box."""
        kept = np.empty(len(face), dtype=bool)
        half = 0.5 * self.edge_mm * 1.001
        for start in range(0, len(face), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            middle = self._low + (cells[part] + 0.5) * self.edge_mm
            shifted = self._solid.vertices[self._solid.faces[face[part]]].astype(np.float32) - middle[
                :, None, :
            ].astype(np.float32)
            normal = self._solid.normals[face[part]]
            off = np.abs(np.einsum("ij,ij->i", normal, shifted[:, 0]))
            good = off <= half * np.abs(normal).sum(axis=1) + 1e-5
            for axis in range(3):
                good &= _edges_reach(shifted, (axis + 1) % 3, (axis + 2) % 3, half)
            kept[part] = good
        return kept

    def _cross_some(
        self, origins: F64, directions: F64, length_mm: float, base: int
    ) -> tuple[I64, F64, I64, F64]:
        walk = _Walk(origins, directions, length_mm, low=self._low, edge_mm=self.edge_mm, shape=self._shape)
        none = np.empty(0)
        found = [(none.astype(np.int64), none, none.astype(np.int64), none)]
        found += [self._met(origins, directions, batch, length_mm) for batch in self._batches(walk)]
        ray, distance, face, cosine = (np.concatenate([one[n] for one in found]) for n in range(4))
        # A face that lies in several cells is met in each of them.
        _, first = np.unique(ray * self._solid.count + face, return_index=True)
        return ray[first] + base, distance[first], face[first], cosine[first]

    def _batches(self, walk: _Walk) -> Iterator[tuple[I64, I64]]:
        """Walk to the end; yield rays and faces that share a cell, many at a time."""
        rays: list[I64] = []
        faces: list[I64] = []
        waiting = 0
        while walk.is_active:
            for ray, face in self._pairs(walk.rays, walk.flat_cells()):
                rays.append(ray)
                faces.append(face)
                waiting += len(ray)
                if waiting > _PAIRS_AT_ONCE:
                    yield np.concatenate(rays), np.concatenate(faces)
                    rays, faces, waiting = [], [], 0
            walk.step()
        if waiting:
            yield np.concatenate(rays), np.concatenate(faces)

    def _pairs(self, rays: I64, cell: I64) -> Iterator[tuple[I64, I64]]:
        """Yield rays with the faces of the cells they are in. Raises OverBudgetError when that goes on for too long."""
        begin = self._starts[cell].astype(np.int64)
        counts = self._starts[cell + 1] - begin
        ends = np.cumsum(counts)
        self._spent += int(ends[-1])
        if self._spent > MAX_TESTS:
            raise OverBudgetError(f"too tangled: {MAX_TESTS} tests of rays and faces were not enough")
        for some in np.split(
            np.arange(len(rays)), np.searchsorted(ends, np.arange(_PAIRS_AT_ONCE, ends[-1], _PAIRS_AT_ONCE))
        ):
            many = counts[some]
            ray = np.repeat(rays[some], many)
            at = np.arange(len(ray)) - np.repeat(np.cumsum(many) - many, many)
            yield ray, self._faces[np.repeat(begin[some], many) + at].astype(np.int64)

    def _met(
        self, origins: F64, directions: F64, pairs: tuple[I64, I64], length_mm: float
    ) -> tuple[I64, F64, I64, F64]:
        ray, face = pairs
        keep = [
            part.start
            + np.flatnonzero(self._meet(origins[ray[part]], directions[ray[part]], face[part]) <= length_mm)
            for part in (slice(n, n + _PAIRS_AT_ONCE) for n in range(0, len(ray), _PAIRS_AT_ONCE))
        ]
        chosen = np.concatenate(keep) if keep else np.empty(0, dtype=np.int64)
        ray, face = ray[chosen], face[chosen]
        distance = self._meet(origins[ray], directions[ray], face)
        cosine = np.einsum("ij,ij->i", self._solid.normals[face].astype(np.float64), directions[ray])
        ahead = distance > 0
        return ray[ahead], distance[ahead], face[ahead], cosine[ahead]

    def _meet(self, origins: F64, directions: F64, face: I64) -> F64:
        """Moeller and Trumbore's test; infinite where a ray passes beside the face."""
        corners = self._solid.faces[face]
        a = self._solid.vertices[corners[:, 0]]
        u = self._solid.vertices[corners[:, 1]] - a
        v = self._solid.vertices[corners[:, 2]] - a
        p = _cross(directions, v)
        determinant = _dot(u, p)
        safe = np.where(np.abs(determinant) < _PARALLEL, np.inf, determinant)
        offset = origins - a
        first = _dot(offset, p) / safe
        q = _cross(offset, u)
        second = _dot(directions, q) / safe
        distance = _dot(v, q) / safe
        inside = (first >= 0) & (second >= 0) & (first + second <= 1) & np.isfinite(safe)
        return np.where(inside, distance, np.inf)


class _Walk:
    """Amanatides and Woo's walk through the cells, for all rays at once."""

    def __init__(
        self, origins: F64, directions: F64, length_mm: float, *, low: F64, edge_mm: float, shape: I64
    ) -> None:
        self._shape = shape
        cells = np.floor((origins - low) / edge_mm).astype(np.int64)
        inside = ((cells >= 0) & (cells < shape)).all(axis=1)
        self.rays: I64 = np.flatnonzero(inside)
        self._cell = cells[inside]
        direction = directions[inside]
        self._step = np.sign(direction).astype(np.int64)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._delta = np.where(direction != 0, edge_mm / np.abs(direction), np.inf)
            border = low + (self._cell + (self._step > 0)) * edge_mm
            self._next = np.where(direction != 0, (border - origins[inside]) / direction, np.inf)
        self._length = length_mm

    @property
    def is_active(self) -> bool:
        """Some ray has not come to its end."""
        return len(self.rays) > 0

    def flat_cells(self) -> I64:
        """Return the number of the cell each ray is in."""
        return np.asarray(
            (self._cell[:, 0] * self._shape[1] + self._cell[:, 1]) * self._shape[2] + self._cell[:, 2]
        )

    def step(self) -> None:
        """Move each ray into its next cell; forget those that have left the grid or are long enough."""
        axis = np.argmin(self._next, axis=1)
        row = np.arange(len(axis))
        reached = self._next[row, axis]
        self._cell[row, axis] += self._step[row, axis]
        self._next[row, axis] += self._delta[row, axis]
        moved = self._cell[row, axis]
        keep = (reached <= self._length) & (moved >= 0) & (moved < self._shape[axis])
        self.rays, self._cell, self._step = self.rays[keep], self._cell[keep], self._step[keep]
        self._delta, self._next = self._delta[keep], self._next[keep]


def _boxes(solid: Solid) -> tuple[F32, F32]:
    """Return the lowest and highest corner of each face, (F, 3) each."""
    low, high = np.empty((solid.count, 3), dtype=np.float32), np.empty((solid.count, 3), dtype=np.float32)
    for start in range(0, solid.count, 1 << 17):
        part = slice(start, start + (1 << 17))
        corners = solid.corners(part)
        low[part] = np.minimum(np.minimum(corners[:, 0], corners[:, 1]), corners[:, 2])
        high[part] = np.maximum(np.maximum(corners[:, 0], corners[:, 1]), corners[:, 2])
    return low, high


def _edges_reach(corners: F32, u: int, v: int, half: float) -> Bool:
    """Separating axes in one plane: the face's edges and the box, which lies around the origin."""
    good = (corners[:, :, u].min(axis=1) <= half) & (corners[:, :, u].max(axis=1) >= -half)
    for edge in range(3):
        one, two, third = corners[:, edge], corners[:, (edge + 1) % 3], corners[:, (edge + 2) % 3]
        a, b = two[:, v] - one[:, v], one[:, u] - two[:, u]
        own = a * one[:, u] + b * one[:, v]
        other = a * third[:, u] + b * third[:, v]
        reach = half * (np.abs(a) + np.abs(b)) + 1e-5
        good &= (np.minimum(own, other) <= reach) & (np.maximum(own, other) >= -reach)
    return np.asarray(good)


def _cross(one: F64, two: F64) -> F64:
    """Cross products of rows; much faster than numpy's general one."""
    return np.stack(
        [
            one[:, 1] * two[:, 2] - one[:, 2] * two[:, 1],
            one[:, 2] * two[:, 0] - one[:, 0] * two[:, 2],
            one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0],
        ],
        axis=1,
    )


def _dot(one: F64, two: F64) -> F64:
    return np.asarray(np.einsum("ij,ij->i", one, two))
