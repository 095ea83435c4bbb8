"""Triangles as every reader hands them on: in blocks, as float32, however they were stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from agent.mesh.arrays import F32, F64, I64
from agent.mesh.errors import MeshFileError

# A block of 20,000 triangles stays in the processor's cache; measured: ten times that costs 20 % more time.
BLOCK_TRIANGLES = 20_000


class TriangleSource(Protocol):
    """A mesh that can be walked as often as needed without being held twice."""

    @property
    def count(self) -> int:
        """Return the number of triangles."""
        ...

    def blocks(self) -> Iterator[F32]:
        """Yield arrays (k, 3, 3) of corner coordinates in mm, in the order of the file."""
        ...


@dataclass(frozen=True, slots=True)
class IndexedSource:
    """Vertices (V, 3) in mm and faces (F, 3) of vertex numbers."""

    vertices: F32
    faces: I64

    @property
    def count(self) -> int:
        """Return the number of triangles."""
        return len(self.faces)

    def blocks(self) -> Iterator[F32]:
        """Yield corner coordinates in blocks."""
        for start in range(0, len(self.faces), BLOCK_TRIANGLES):
            yield self.vertices[self.faces[start : start + BLOCK_TRIANGLES]]


@dataclass(frozen=True, slots=True)
class SoupSource:
    """Corner coordinates (n, 3, 3) in mm in memory."""

    corners: F32

    @property
    def count(self) -> int:
        """Return the number of triangles."""
        return len(self.corners)

    def blocks(self) -> Iterator[F32]:
        """Yield corner coordinates in blocks."""
        for start in range(0, len(self.corners), BLOCK_TRIANGLES):
            yield self.corners[start : start + BLOCK_TRIANGLES]


_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


@dataclass(frozen=True, slots=True)
class StlSource:
    """A binary STL that is read block by block, each time anew: 50 bytes a triangle stay on the disk."""

    path: Path
    count: int
    scale: float = 1.0

    def blocks(self) -> Iterator[F32]:
        """Yield corner coordinates in blocks."""
        with self.path.open("rb") as file:
            file.seek(84)
            left = self.count
            while left:
                wanted = min(left, BLOCK_TRIANGLES)
                facets = np.fromfile(file, _FACET, wanted)
                if len(facets) != wanted:
                    raise MeshFileError("the file became shorter while it was read", code="file.truncated")
                left -= wanted
                corners = np.ascontiguousarray(facets["corners"])
                yield corners if self.scale == 1.0 else corners * np.float32(self.scale)


def indexed(vertices: F64, faces: I64, scale: float = 1.0) -> IndexedSource:
    """Return a source whose faces name existing vertices. Raises MeshFileError `file.malformed`, `mesh.empty`."""
    if len(faces) == 0 or len(vertices) == 0:
        raise MeshFileError("the file holds no triangle", code="mesh.empty", remedy="export it as a mesh")
    lowest, highest = int(faces.min()), int(faces.max())
    if lowest < 0 or highest >= len(vertices):
        bad = highest if lowest >= 0 else lowest
        raise MeshFileError(
            f"a face names vertex {bad}, there are {len(vertices)}",
            code="file.malformed",
            remedy="export it again",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return IndexedSource((vertices * scale).astype(np.float32), faces)


def fan(lengths: I64, corners: I64) -> I64:
    """Return triangles (n, 3) of polygons: `corners` holds their vertex numbers one polygon after the other.

    Polygons are cut as a fan from their first corner; those with less than three corners vanish.
    """
    starts = np.cumsum(lengths) - lengths
    triangles = np.maximum(lengths - 2, 0)
    first = np.repeat(starts, triangles)
    step = np.arange(int(triangles.sum())) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)
