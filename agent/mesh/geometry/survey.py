"""One pass over a mesh of any size: finite, bounds, volume, area, centre, overhang, edge classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F32, F64, I64, U64
from agent.mesh.errors import MeshFileError
from agent.mesh.geometry.edges import EdgeCensus, census, edge_keys
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.load.source import TriangleSource

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Survey:
    """Facts of a whole mesh. Lengths in mm, `volume_mm3` signed (negative: inside out).

    `down_faces` look down more than the survey's limit and do not lie on the bed; `down_area_mm2`, `down_deg`
    (from the vertical, 90 is a ceiling) and `down_centres` belong to them. `bed_area_mm2` looks straight down at
    the lowest height.
    """

    triangles: int
    low: F64
    high: F64
    area_mm2: float
    volume_mm3: float
    centre: F64
    degenerate: int
    edges: EdgeCensus
    down_faces: I64
    down_area_mm2: F32
    down_deg: F32
    down_centres: F32
    bed_area_mm2: float

    @property
    def size(self) -> F64:
        """Return the lengths of the sides of the bounding box."""
        return self.high - self.low


def survey(
    source: TriangleSource,
    hasher: VertexHash,
    *,
    overhang_deg: float,
    bed_mm: float,
    progress: Progress | None = None,
) -> Survey:
    """Walk the mesh once. Faces whose top is within `bed_mm` of the lowest point lie on the bed.

    Raises MeshFileError `mesh.nonfinite` and `mesh.empty`.
    """
    pass_ = _Pass(source.count, overhang_deg)
    keys = np.empty((source.count, 3), dtype=np.uint64)
    for corners in source.blocks():
        keys[pass_.count : pass_.count + len(corners)] = edge_keys(hasher(corners))
        pass_.add(corners)
        if progress is not None:
            progress(pass_.count, source.count)
    return pass_.finish(keys.reshape(-1), bed_mm)


class _Pass:
    """Sums over blocks, relative to the first corner so that far-away parts lose no digits."""

    def __init__(self, total: int, overhang_deg: float) -> None:
        self.count = 0
        self._total = total
        self._sine = math.sin(math.radians(overhang_deg))
        self._origin: F64 | None = None
        self._low = np.full(3, np.inf)
        self._high = np.full(3, -np.inf)
        self._area = 0.0
        self._volume = 0.0
        self._moment = np.zeros(3)
        self._degenerate = 0
        self._down: list[tuple[I64, F32, F32, F32, F32]] = []

    def add(self, corners: F32) -> None:
        """Take a block (k, 3, 3)."""
        self._demand_finite(corners)
        flat = corners.reshape(-1, 3)
        self._low = np.minimum(self._low, flat.min(axis=0))
        self._high = np.maximum(self._high, flat.max(axis=0))
        if self._origin is None:
            self._origin = flat[0].astype(np.float64)
        # Axis by axis: contiguous columns are several times faster than (k, 3) rows.
        x, y, z = (
            np.ascontiguousarray(corners[:, :, axis].T, dtype=np.float64) - self._origin[axis]
            for axis in range(3)
        )
        ux, uy, uz = x[1] - x[0], y[1] - y[0], z[1] - z[0]
        vx, vy, vz = x[2] - x[0], y[2] - y[0], z[2] - z[0]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        double = np.sqrt(nx * nx + ny * ny + nz * nz)
        self._degenerate += int(np.count_nonzero(double == 0.0))
        self._area += float(double.sum()) / 2
        six = x[0] * nx + y[0] * ny + z[0] * nz
        self._volume += float(six.sum()) / 6
        for axis, column in enumerate((x, y, z)):
            self._moment[axis] += float(((column[0] + column[1] + column[2]) * six).sum()) / 24
        down = np.flatnonzero(-nz > self._sine * double)
        if len(down):
            slope = np.degrees(np.arcsin(np.clip(-nz[down] / double[down], 0.0, 1.0)))
            top = corners[down, :, 2].max(axis=1)
            self._down.append((
                down + self.count,
                (double[down] / 2).astype(np.float32),
                slope.astype(np.float32),
                top,
                corners[down].mean(axis=1),
            ))  # fmt: skip
        self.count += len(corners)

    def finish(self, keys: U64, bed_mm: float) -> Survey:
        """Return the survey; `keys` are the edge keys of all faces."""
        if self._area == 0.0 or self._origin is None:
            raise MeshFileError(
                f"none of the {self.count} triangles has an area", code="mesh.empty", remedy="export it again"
            )
        empty = np.empty(0, dtype=np.float32)
        parts = self._down or [
            (empty.astype(np.int64), empty, empty, empty, np.empty((0, 3), dtype=np.float32))
        ]
        faces = np.concatenate([part[0] for part in parts])
        areas, slopes, tops, centres = (np.concatenate([part[n] for part in parts]) for n in range(1, 5))
        is_bed = tops <= self._low[2] + bed_mm
        flat_bed = is_bed & (slopes > 89.0)
        centre = self._moment / self._volume if self._volume else np.zeros(3)
        return Survey(
            triangles=self.count,
            low=self._low,
            high=self._high,
            area_mm2=self._area,
            volume_mm3=self._volume,
            centre=centre + self._origin,
            degenerate=self._degenerate,
            edges=census(keys),
            down_faces=faces[~is_bed],
            down_area_mm2=areas[~is_bed],
            down_deg=slopes[~is_bed],
            down_centres=centres[~is_bed],
            bed_area_mm2=float(areas[flat_bed].sum(dtype=np.float64)),
        )

    def _demand_finite(self, corners: F32) -> None:
        # One sum tells for nearly every block: a NaN or an infinity does not vanish in it.
        if np.isfinite(corners.sum(dtype=np.float64)):
            return
        bad = np.flatnonzero(~np.isfinite(corners).all(axis=(1, 2)))
        if len(bad) == 0:
            return
        raise MeshFileError(
            f"triangle {self.count + int(bad[0]) + 1} has a coordinate that is no number",
            code="mesh.nonfinite",
            remedy="repair the model where it was made, or export it again",
        )
