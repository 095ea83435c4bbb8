"""The mesh with an index: shared vertices, normals, neighbours, bodies. Built once, for parts within the budget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent.mesh.arrays import F32, F64, I32, I64
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.labels import components, renumber
from agent.mesh.load.source import TriangleSource


@dataclass(frozen=True, slots=True)
class FaceShape:
    """Unit normals (F, 3), areas (F) in mm² and the signed volumes (F) of the wedges to one point."""

    normals: F32
    areas: F64
    volumes: F64

    @classmethod
    def empty(cls, count: int) -> FaceShape:
        """Make room for so many faces."""
        return cls(np.empty((count, 3), dtype=np.float32), np.empty(count), np.empty(count))

    def fill(self, part: slice, corners: F32, origin: F32) -> None:
        """Compute a block (k, 3, 3); a face without area has the normal 0."""
        x, y, z = (
            np.ascontiguousarray(corners[:, :, axis].T, dtype=np.float64) - float(origin[axis])
            for axis in range(3)
        )
        ux, uy, uz = x[1] - x[0], y[1] - y[0], z[1] - z[0]
        vx, vy, vz = x[2] - x[0], y[2] - y[0], z[2] - z[0]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        self.areas[part] = length / 2
        self.volumes[part] = (x[0] * nx + y[0] * ny + z[0] * nz) / 6
        inverse = 1.0 / np.where(length > 0, length, 1.0)
        for axis, column in enumerate((nx, ny, nz)):
            self.normals[part, axis] = column * inverse


class Solid:
    """`vertices` (V, 3) float64 in mm and `faces` (F, 3); equal float32 positions are one vertex."""

    def __init__(self, vertices: F64, faces: I32, shape: FaceShape) -> None:
        self.vertices = vertices
        self.faces = faces
        self.normals = shape.normals
        self.areas = shape.areas
        self._volumes = shape.volumes

    @classmethod
    def merge(cls, source: TriangleSource, hasher: VertexHash) -> Solid:
        """Build the index of a source."""
        hashes = np.empty((source.count, 3), dtype=np.uint64)
        corners = np.empty((source.count, 3, 3), dtype=np.float32)
        shape = FaceShape.empty(source.count)
        filled = 0
        for block in source.blocks():
            part = slice(filled, filled + len(block))
            hashes[part] = hasher(block)
            corners[part] = block
            shape.fill(part, block, corners[0, 0])
            filled += len(block)
        flat = hashes.reshape(-1)
        order = np.argsort(flat)
        flat = flat[order]
        is_new = np.concatenate(([True], flat[1:] != flat[:-1]))
        del hashes, flat
        numbers = np.cumsum(is_new, dtype=np.int32) - np.int32(1)
        faces = np.empty(len(order), dtype=np.int32)
        faces[order] = numbers
        vertices = corners.reshape(-1, 3)[order[is_new]].astype(np.float64) + 0.0
        return cls(vertices, faces.reshape(-1, 3), shape)

    @property
    def count(self) -> int:
        """Return the number of faces."""
        return len(self.faces)

    def corners(self, faces: slice) -> F32:
        """Return corner coordinates (n, 3, 3) of a run of faces; the whole would take 36 bytes a face."""
        return np.asarray(self.vertices[self.faces[faces]].astype(np.float32))

    def centres(self, faces: I64) -> F64:
        """Return the middles of some faces (n, 3)."""
        return np.asarray(self.vertices[self.faces[faces]].mean(axis=1))

    @cached_property
    def neighbours(self) -> tuple[I64, I64]:
        """Pairs of faces that bound the same matter at a shared edge.

        Where two faces meet in opposite directions they are a pair. Where more meet, each is paired with the next one
        around the edge across matter: bodies that touch in an edge or with a face stay apart.
        """
        following = self.faces[:, (1, 2, 0)]
        low, high = np.minimum(self.faces, following), np.maximum(self.faces, following)
        keys = (low.astype(np.int64) * len(self.vertices) + high).reshape(-1)
        del low, high, following
        order = np.argsort(keys)
        ordered = keys[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        counts = np.diff(np.append(starts, len(ordered)))
        at = starts[counts == 2]
        first, second = order[at] // 3, order[at + 1] // 3
        crowded = np.flatnonzero(np.repeat(counts > 2, counts)) if (counts > 2).any() else at[:0]
        if len(crowded):
            one, two = self._around(np.sort(order[crowded]), keys)
            first, second = np.concatenate([first, one]), np.concatenate([second, two])
        return first, second

    def _around(self, halves: I64, keys: I64) -> tuple[I64, I64]:
        """Pair the faces of crowded edges; `halves` are half-edges (face * 3 + corner)."""
        face, corner = np.divmod(halves, 3)
        start, end = self.faces[face, corner], self.faces[face, (corner + 1) % 3]
        forward = start < end
        low = self.vertices[np.minimum(start, end)]
        axis = self.vertices[np.maximum(start, end)] - low
        axis /= np.maximum(np.sqrt((axis**2).sum(axis=1)), 1e-30)[:, None]
        third = self.vertices[self.faces[face, (corner + 2) % 3]] - low
        # A frame around each edge that is the same for all its faces.
        least = np.argmin(np.abs(axis), axis=1)
        helper = np.zeros_like(axis)
        helper[np.arange(len(axis)), least] = 1.0
        u = np.cross(axis, helper)
        v = np.cross(axis, u)
        angle = np.round(np.arctan2((third * v).sum(axis=1), (third * u).sum(axis=1)), 5)
        # Matter lies before a forward face and after a backward one; at one angle it ends before it begins.
        order = np.lexsort((halves, ~forward, angle, keys[halves]))
        face, forward, edge = face[order], forward[order], keys[halves][order]
        begins = np.flatnonzero(np.concatenate(([True], edge[1:] != edge[:-1])))
        following = np.arange(1, len(edge) + 1)
        following[np.append(begins[1:] - 1, len(edge) - 1)] = begins
        pairs = np.flatnonzero(~forward & forward[following])
        return face[pairs], face[following[pairs]]

    @cached_property
    def bodies(self) -> tuple[I64, int]:
        """The body of each face, and how many there are; bodies that touch in an edge stay apart."""
        return renumber(components(self.count, *self.neighbours))

    @cached_property
    def body_volumes(self) -> F64:
        """Signed volume of each body in mm³."""
        labels, count = self.bodies
        return np.bincount(labels, weights=self._volumes, minlength=count).astype(np.float64)

    @cached_property
    def body_bounds(self) -> tuple[F64, F64]:
        """Lowest and highest corner of each body, (B, 3) each."""
        labels, count = self.bodies
        if count == 1:
            return self.vertices.min(axis=0)[None, :], self.vertices.max(axis=0)[None, :]
        low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
        for corner in range(3):
            points = self.vertices[self.faces[:, corner]]
            for axis in range(3):
                np.minimum.at(low[:, axis], labels, points[:, axis])
                np.maximum.at(high[:, axis], labels, points[:, axis])
        return low, high
