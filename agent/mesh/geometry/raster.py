"""Which cell centres a triangle covers, seen along z: watertight between triangles that share an edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F64, I64

MAX_PAIRS = 1 << 18  # (triangle, cell) pairs at once; bounds the memory of temporaries


@dataclass(frozen=True, slots=True)
class Covered:
    """Pairs of triangle and cell: `rows` and `columns` of the cell, `heights` of the triangle above its centre."""

    triangles: I64
    rows: I64
    columns: I64
    heights: F64


def cover(corners: F64, shape: tuple[int, int]) -> Iterator[Covered]:
    """Yield the cells whose centre lies in the projection of each triangle (n, 3, 3).

    x and y count in cells, cell (row, column) has its centre at y = row, x = column. The border between two triangles
    belongs to exactly one of them: where an edge crosses a row is computed from the same two end points in the same
    order on both sides, and intervals are half-open.
    """
    rows, columns = shape
    low_x, high_x = _extent(corners, 0)
    low_y, high_y = _extent(corners, 1)
    first = np.maximum(np.ceil(low_y), 0).astype(np.int64)
    last = np.minimum(np.ceil(high_y) - 1, rows - 1).astype(np.int64)
    # Most faces of a fine mesh lie between two columns.
    is_beside = (np.ceil(low_x) > high_x) | (high_x < 0) | (low_x > columns - 1)
    heights = np.where(is_beside, 0, np.maximum(last - first + 1, 0))
    busy = np.flatnonzero(heights)
    for some in _portions(busy, heights[busy]):
        yield from _rows(corners, some, first[some], heights[some], columns)


def _extent(corners: F64, axis: int) -> tuple[F64, F64]:
    a, b, c = corners[:, 0, axis], corners[:, 1, axis], corners[:, 2, axis]
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def _portions(items: I64, costs: I64) -> Iterator[I64]:
    """Split items so that the costs of each portion stay near the bound."""
    if len(items) == 0:
        return
    ends = np.cumsum(costs) // MAX_PAIRS
    yield from np.split(items, np.flatnonzero(np.diff(ends)) + 1)


def _rows(corners: F64, some: I64, first: I64, heights: I64, columns: int) -> Iterator[Covered]:
    mine = corners[some]
    owner = np.repeat(np.arange(len(some)), heights)
    row = np.repeat(first, heights) + _counting(heights)
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for one, two in ((0, 1), (1, 2), (2, 0)):
        crossing = _crossing(mine[:, one, :2], mine[:, two, :2], owner, row)
        np.fmin(left, crossing, out=left)
        np.fmax(right, crossing, out=right)
    start = np.clip(np.ceil(left), 0, columns)
    stop = np.clip(np.ceil(right), 0, columns)
    widths = np.where(np.isfinite(left), stop - start, 0).astype(np.int64)
    hit = np.flatnonzero(widths)
    if len(hit) == 0:
        return
    plane = _Plane.through(mine)
    for part in _portions(hit, widths[hit]):
        reached = np.repeat(owner[part], widths[part])
        cell_row = np.repeat(row[part], widths[part])
        cell_column = np.repeat(start[part].astype(np.int64), widths[part]) + _counting(widths[part])
        yield Covered(some[reached], cell_row, cell_column, plane.heights(reached, cell_row, cell_column))


def _crossing(one: F64, two: F64, owner: I64, row: I64) -> F64:
    """Return where edges (n, 2) cross the rows of their triangles (x), NaN where they do not.

    The ends are ordered by height, so that twins of two triangles agree to the last bit.
    """
    swap = (one[:, 1] > two[:, 1]) | ((one[:, 1] == two[:, 1]) & (one[:, 0] > two[:, 0]))
    low, high = np.where(swap[:, None], two, one), np.where(swap[:, None], one, two)
    rise = high[:, 1] - low[:, 1]
    slope = (high[:, 0] - low[:, 0]) / np.where(rise > 0, rise, 1.0)
    bottom = low[:, 1][owner]
    crosses = (bottom <= row) & (row < high[:, 1][owner])
    return np.where(crosses, low[:, 0][owner] + (row - bottom) * slope[owner], np.nan)


@dataclass(frozen=True, slots=True)
class _Plane:
    """Heights of triangles over the grid, kept within the heights of their corners."""

    base: F64
    by_column: F64
    by_row: F64
    low: F64
    high: F64

    @classmethod
    def through(cls, corners: F64) -> _Plane:
        a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        nx = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
        ny = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
        nz = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        safe = np.where(nz == 0, 1.0, nz)
        by_column, by_row = -nx / safe, -ny / safe
        low, high = _extent(corners, 2)
        return cls(a[:, 2] - by_column * a[:, 0] - by_row * a[:, 1], by_column, by_row, low, high)

    def heights(self, owner: I64, row: I64, column: I64) -> F64:
        z = self.base[owner] + self.by_column[owner] * column + self.by_row[owner] * row
        return np.asarray(np.clip(z, self.low[owner], self.high[owner]))


def _counting(lengths: I64) -> I64:
    """Return 0..n-1 for each of the lengths, one after the other."""
    total = int(lengths.sum())
    return np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)
