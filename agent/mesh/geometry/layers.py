"""The part as layers of cells, and the cells of each layer that have nothing below them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.mesh.arrays import F64, I64, Bool
from agent.mesh.geometry.columns import Columns
from agent.mesh.geometry.labels import components, renumber
from agent.mesh.geometry.survey import Survey
from agent.mesh.limits import Limits

_MOST_REACH = 40  # cells, on tall parts of which only some layers are looked at
MAX_CELLS = 30_000_000  # one byte each
_DIRECTIONS = 12  # ways to lay a line, every 15 degrees
_MOST_WALKERS = 3000  # cells from which lines are followed; on large ceilings every n-th
_BRIDGED_SHARE = 0.8  # of the cells of a bridge lie on a line that is held at both ends


@dataclass(frozen=True, slots=True)
class Layers:
    """`filled` (layer, row, column); layer k of the part is number `numbers[k]` of `total` layers as printed.

    `reach_cells`: how far a layer may stand out over the one below, because a line that hangs by less still holds.
    """

    columns: Columns
    layer_mm: float
    total: int
    numbers: I64
    filled: Bool
    reach_cells: int

    @classmethod
    def cut(cls, columns: Columns, survey: Survey, limits: Limits) -> Layers:
        """Cut columns into layers at the middle of each; every n-th layer of a big part."""
        total = max(1, math.ceil(float(survey.size[2]) / limits.layer_mm - 1e-6))
        cells = columns.shape[0] * columns.shape[1]
        count = max(2, min(total, MAX_CELLS // max(cells, 1)))
        numbers = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
        middles = float(survey.low[2]) + (numbers + 0.5) * limits.layer_mm
        change = np.zeros((len(numbers) + 1, cells), dtype=np.int8)
        first = np.searchsorted(middles, columns.bottom)
        last = np.searchsorted(middles, columns.top)
        np.add.at(change, (first, columns.cell), 1)
        np.add.at(change, (last, columns.cell), -1)
        filled = np.cumsum(change, axis=0, dtype=np.int8)[:-1] > 0
        rise = float(np.diff(middles).max()) if len(middles) > 1 else limits.layer_mm
        slope = math.tan(math.radians(min(limits.overhang_deg, 80.0)))
        reach = max(1, min(_MOST_REACH, math.ceil(rise * slope / columns.pitch_mm - 1e-6)))
        return cls(columns, limits.layer_mm, total, numbers, filled.reshape(-1, *columns.shape), reach)

    @property
    def is_complete(self) -> bool:
        """Every printed layer was looked at."""
        return len(self.numbers) == self.total

    def height_mm(self, layers: I64) -> F64:
        """Return the height of the bottom of layers above the bed."""
        return np.asarray(self.numbers[layers] * self.layer_mm)


@dataclass(frozen=True, slots=True)
class Hanging:
    """Groups of cells without anything below: per cell its group, layer, and cell number in the layer.

    Per group: `is_island` (touches no supported cell), `span_mm` (the shortest way across that is held at both ends,
    infinite if none is), `reach_mm` (how far the farthest cell is from what holds it), `cells`.
    """

    group: I64
    layer: I64
    cell: I64
    is_island: Bool
    span_mm: F64
    reach_mm: F64
    cells: I64


def hanging(layers: Layers) -> Hanging:
    """Return all cells that begin in the air, grouped within their layer."""
    rows, columns = layers.columns.shape
    loose = _loose(layers)
    keys = np.flatnonzero(loose)
    layer, cell = np.divmod(keys, rows * columns)
    if len(keys) == 0:
        none = np.empty(0)
        return Hanging(keys, layer, cell, none.astype(bool), none, none, keys)
    group, count = _groups(keys, columns)
    is_island = _islands(layers.filled, loose, group, keys, count)
    walkers = np.flatnonzero(~is_island[group])
    if len(walkers) > _MOST_WALKERS:
        every = walkers[:: -(-len(walkers) // _MOST_WALKERS)]
        # Each group has at least one.
        walkers = np.union1d(every, np.unique(group, return_index=True)[1])
    held, across = _followed(layers.filled, loose, keys[walkers])
    mine = group[walkers]
    bridged = np.isfinite(across)
    share = np.bincount(mine, weights=bridged, minlength=count) / np.maximum(
        np.bincount(mine, minlength=count), 1
    )
    span, reach = np.zeros(count), np.zeros(count)
    np.maximum.at(span, mine[bridged], across[bridged])
    loosely = ~bridged & np.isfinite(held)
    np.maximum.at(reach, mine[loosely], held[loosely])
    pitch = layers.columns.pitch_mm
    return Hanging(
        group,
        layer,
        cell,
        is_island=is_island,
        span_mm=np.where(share >= _BRIDGED_SHARE, (span + 2 * layers.reach_cells) * pitch, np.inf),
        reach_mm=(reach + layers.reach_cells) * pitch,
        cells=np.bincount(group, minlength=count),
    )


def _islands(filled: Bool, loose: Bool, group: I64, keys: I64, count: int) -> Bool:
    """Tell which groups touch no cell of their layer that has something below."""
    columns = filled.shape[2]
    flat_filled, flat_loose = filled.reshape(-1), loose.reshape(-1)
    is_held = np.zeros(count, dtype=bool)
    for step in (1, -1, columns, -columns):
        beside = np.clip(keys + step, 0, len(flat_filled) - 1)
        is_held[group[flat_filled[beside] & ~flat_loose[beside]]] = True
    return ~is_held


def _loose(layers: Layers) -> Bool:
    """Return the filled cells that stand out over the layer below by more than the reach."""
    loose = np.zeros_like(layers.filled)
    for k in range(1, len(layers.numbers)):
        loose[k] = layers.filled[k] & ~dilated(layers.filled[k - 1], layers.reach_cells)
    return loose


def dilated(cells: Bool, reach: int) -> Bool:
    """Return the cells (rows, columns) and all within `reach` of them, diagonals included."""
    grown = cells.copy()
    for _ in range(reach):
        wide = grown.copy()
        wide[:, 1:] |= grown[:, :-1]
        wide[:, :-1] |= grown[:, 1:]
        grown = wide.copy()
        grown[1:] |= wide[:-1]
        grown[:-1] |= wide[1:]
    return grown


def _groups(keys: I64, columns: int) -> tuple[I64, int]:
    """Group cells that touch by a side within a layer. No cell lies on the rim of the grid."""
    pairs: list[tuple[I64, I64]] = []
    for step in (1, columns):
        at = np.minimum(np.searchsorted(keys, keys + step), len(keys) - 1)
        found = np.flatnonzero(keys[at] == keys + step)
        pairs.append((found, at[found]))
    labels = components(
        len(keys), np.concatenate([one for one, _ in pairs]), np.concatenate([two for _, two in pairs])
    )
    return renumber(labels)


def _followed(filled: Bool, loose: Bool, keys: I64) -> tuple[F64, F64]:
    """Follow lines both ways from cells. Return the distance to the nearest held end, and the shortest way across.

    In cells; infinite where no end is held, or no line at both ends.
    """
    nearest, across = np.full(len(keys), np.inf), np.full(len(keys), np.inf)
    for number in range(_DIRECTIONS):
        turn = math.pi * number / _DIRECTIONS
        way = (math.sin(turn), math.cos(turn))
        forth = _walk(filled, loose, keys, way)
        back = _walk(filled, loose, keys, (-way[0], -way[1]))
        nearest = np.minimum(nearest, np.minimum(forth, back))
        across = np.minimum(across, forth + back - 1)
    return nearest, across


def _walk(filled: Bool, loose: Bool, keys: I64, way: tuple[float, float]) -> F64:
    """Count cells from each key along a way (row, column) until it leaves the loose cells; infinite into the air."""
    _, rows, columns = filled.shape
    flat_loose, flat_filled = loose.reshape(-1), filled.reshape(-1)
    steps = np.full(len(keys), np.inf)
    active = np.arange(len(keys))
    layer, cell = np.divmod(keys, rows * columns)
    row, column = np.divmod(cell, columns)
    base = layer * rows * columns
    for count in range(1, rows + columns):
        now_row = row + round(count * way[0])
        now_column = column + round(count * way[1])
        inside = (now_row >= 0) & (now_row < rows) & (now_column >= 0) & (now_column < columns)
        place = np.where(inside, base + now_row * columns + now_column, 0)
        goes_on = inside & flat_loose[place]
        steps[active[inside & ~goes_on & flat_filled[place]]] = count
        active, base, row, column = active[goes_on], base[goes_on], row[goes_on], column[goes_on]
        if len(active) == 0:
            break
    return steps
