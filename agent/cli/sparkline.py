"""A row of blocks for a series of temperatures. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-:=+*#"
# Room temperature: the floor of the scale, so that a steady nozzle is a steady high line.
_FLOOR_C = 20.0
# A scale of less would turn the noise of a cold sensor into mountains.
_LEAST_SPAN_C = 40.0


def sparkline(points: Sequence[Sequence[float]], columns: int, *, is_ascii: bool = False) -> str:
    """Draw [age_s, actual, target] points, oldest left, `columns` wide; gaps carry the line on."""
    if not points or columns < 1:
        return ""
    oldest = max(point[0] for point in points)
    sums = [0.0] * columns
    counts = [0] * columns
    for age_s, actual, _target in points:
        share = 1.0 - age_s / oldest if oldest > 0 else 1.0
        column = min(columns - 1, max(0, int(share * columns)))
        sums[column] += actual
        counts[column] += 1
    low = min(_FLOOR_C, *(point[1] for point in points))
    high = max(low + _LEAST_SPAN_C, *(max(point[1], point[2]) for point in points))
    return _drawn(sums, counts, low, high, _ASCII if is_ascii else _BLOCKS)


def _drawn(sums: list[float], counts: list[int], low: float, high: float, blocks: str) -> str:
    cells: list[str] = []
    for total, count in zip(sums, counts, strict=True):
        if not count:  # a gap between two samples is no event: carry the line on
            cells.append(cells[-1] if cells else " ")
            continue
        share = (total / count - low) / (high - low)
        cells.append(blocks[min(len(blocks) - 1, max(0, round(share * (len(blocks) - 1))))])
    return "".join(cells)
