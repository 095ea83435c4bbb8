"""The part as columns: at every point of a grid over the bed, the heights where matter begins and ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F32, F64, I64, Bool
from agent.mesh.geometry.budget import OverBudgetError
from agent.mesh.geometry.raster import cover
from agent.mesh.geometry.survey import Survey
from agent.mesh.limits import Limits
from agent.mesh.load.source import TriangleSource

MAX_CROSSINGS = 6_000_000  # 50 for each column; sound parts have two to ten
MAX_COLUMNS = 120_000  # 0.5 mm on a part of 170 mm; bounds time and memory
_MIN_CELLS = 24  # along the longer side: small parts get a finer grid
# An odd place between the lines of round numbers, so that hardly an edge runs exactly through a centre.
_OFFSET = 0.5 + 0.0137
_JOIN_MM = 1e-4  # bodies that touch: no gap that anybody could see


@dataclass(frozen=True, slots=True)
class Columns:
    """Runs of matter, sorted by cell and height: `cell` = row * shape[1] + column, `bottom` and `top` in mm.

    `slope` is the angle of the surface at the bottom from the vertical in degrees (90 is a ceiling). Cells whose
    surface does not close are left out and counted in `torn`. `pitch_mm` is the side of a cell.
    """

    pitch_mm: float
    origin: F64
    shape: tuple[int, int]
    cell: I64
    bottom: F64
    top: F64
    slope: F32
    torn: int

    @classmethod
    def cast(cls, source: TriangleSource, survey: Survey, limits: Limits) -> Columns:
        """Cast a ray up from every cell."""
        width, depth = float(survey.size[0]), float(survey.size[1])
        pitch = choose_pitch(width, depth, limits.line_mm)
        shape = (math.ceil(depth / pitch) + 1, math.ceil(width / pitch) + 1)
        origin = survey.low[:2] - pitch * (1 - _OFFSET)
        cells, heights, ups, slopes = [], [], [], []
        crossings = 0
        for corners in source.blocks():
            placed = corners.astype(np.float64)
            placed[:, :, 0] = (placed[:, :, 0] - origin[0]) / pitch
            placed[:, :, 1] = (placed[:, :, 1] - origin[1]) / pitch
            for found in cover(placed, shape):
                up, slope = _facing(corners[found.triangles])
                crossings += len(found.rows)
                if crossings > MAX_CROSSINGS:
                    raise OverBudgetError(
                        f"too tangled: more than {MAX_CROSSINGS} crossings of {shape[0] * shape[1]} columns"
                    )
                cells.append((found.rows * shape[1] + found.columns).astype(np.int32))
                heights.append(found.heights.astype(np.float32))
                ups.append(up)
                slopes.append(slope)
        if not cells:
            empty = np.empty(0)
            return cls(
                pitch, origin, shape, empty.astype(np.int64), empty, empty, empty.astype(np.float32), 0
            )
        return _matter(
            np.concatenate(cells).astype(np.int64),
            np.concatenate(heights).astype(np.float64),
            np.concatenate(ups).astype(np.int64),
            np.concatenate(slopes),
            (pitch, origin, shape),
        )

    def is_filled(self, points: F64) -> Bool:
        """Tell for points (n, 3) in mm whether there is matter at their height in their cell."""
        column = np.floor((points[:, 0] - self.origin[0]) / self.pitch_mm + 0.5).astype(np.int64)
        row = np.floor((points[:, 1] - self.origin[1]) / self.pitch_mm + 0.5).astype(np.int64)
        cell = row * self.shape[1] + column
        if len(self.cell) == 0:
            return np.zeros(len(points), dtype=bool)
        low, high = float(self.bottom.min()), float(self.top.max())
        span = max(high - low, 1e-9) * 1.01
        keys = self.cell + (self.bottom - low) / span
        wanted = cell + np.clip((points[:, 2] - low) / span, 0.0, 0.999)
        at = np.maximum(np.searchsorted(keys, wanted, side="right") - 1, 0)
        return np.asarray(
            (self.cell[at] == cell) & (self.bottom[at] <= points[:, 2]) & (points[:, 2] <= self.top[at])
        )

    def points(self, cells: I64, heights: F64) -> F64:
        """Return the places (n, 3) of cells at heights, in mm."""
        rows, columns = np.divmod(cells, self.shape[1])
        return np.stack(
            [columns * self.pitch_mm + self.origin[0], rows * self.pitch_mm + self.origin[1], heights], axis=1
        )


def choose_pitch(width_mm: float, depth_mm: float, line_mm: float) -> float:
    """Return the side of a cell: a line width, finer on small parts, coarser on big ones."""
    fine = max(width_mm, depth_mm) / _MIN_CELLS
    least = math.sqrt(max(width_mm * depth_mm, 1e-12) / MAX_COLUMNS)
    return max(min(line_mm, max(fine, line_mm / 8)), least, max(width_mm, depth_mm) / 4000, 1e-6)


def _facing(corners: F32) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int8]], F32]:
    u = (corners[:, 1] - corners[:, 0]).astype(np.float64)
    v = (corners[:, 2] - corners[:, 0]).astype(np.float64)
    nz = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    nx = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
    ny = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    sine = np.clip(-nz / np.where(length > 0, length, 1.0), -1.0, 1.0)
    return np.sign(nz).astype(np.int8), np.degrees(np.arcsin(sine)).astype(np.float32)


def _matter(
    cells: I64, heights: F64, ups: I64, slopes: F32, frame: tuple[float, F64, tuple[int, int]]
) -> Columns:
    """From crossings to runs: matter is where more surface was entered from below than left."""
    # At one height what begins comes before what ends: touching bodies become one run.
    order = np.lexsort((ups, np.round(heights, 4), cells))
    cells, heights, ups, slopes = cells[order], heights[order], ups[order], slopes[order]
    starts = np.flatnonzero(np.concatenate(([True], cells[1:] != cells[:-1])))
    lengths = np.diff(np.append(starts, len(cells)))
    depth = np.cumsum(-ups)
    base = np.repeat(np.where(starts > 0, depth[starts - 1], 0), lengths)
    depth = depth - base
    is_torn = np.repeat(depth[starts + lengths - 1] != 0, lengths)
    before = depth + ups
    opens = np.flatnonzero((before == 0) & (depth != 0) & ~is_torn)
    closes = np.flatnonzero((before != 0) & (depth == 0) & ~is_torn)
    bottom, top, cell, slope = heights[opens], heights[closes], cells[opens], slopes[opens]
    cell, bottom, top, slope = _joined(cell, bottom, top, slope)
    pitch, origin, shape = frame
    torn = len(np.unique(cells[is_torn]))
    return Columns(pitch, origin, shape, cell, bottom, top, slope, torn)


def _joined(cell: I64, bottom: F64, top: F64, slope: F32) -> tuple[I64, F64, F64, F32]:
    """Join runs of a cell with nothing between them, and drop those without height."""
    solid = top - bottom > _JOIN_MM
    cell, bottom, top, slope = cell[solid], bottom[solid], top[solid], slope[solid]
    if len(cell) == 0:
        return cell, bottom, top, slope
    joins = (cell[1:] == cell[:-1]) & (bottom[1:] - top[:-1] <= _JOIN_MM)
    begins = np.concatenate(([True], ~joins))
    ends = np.concatenate((~joins, [True]))
    return cell[begins], bottom[begins], top[ends], slope[begins]
