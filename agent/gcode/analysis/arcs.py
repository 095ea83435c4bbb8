"""Arcs G2 and G3 in the XY plane: length, tangents at both ends, how far they bulge, how fast they may be taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.gcode.analysis.tokens import Flags, Floats

_SEGMENT_MM = 1.0  # Marlin cuts arcs into pieces of this length
_TAU = 2.0 * np.pi


@dataclass(frozen=True, slots=True)
class Arcs:
    """`length` in mm in the plane; `enter`, `leave`: unit tangents, shape (n, 2); `low`, `high`: the box, (n, 2)."""

    length: Floats
    radius: Floats
    enter: Floats
    leave: Floats
    low: Floats
    high: Floats


def arcs(start: Floats, end: Floats, offset: Floats, radius: Floats, clockwise: Flags) -> Arcs:
    """Return the arcs from `start` to `end` (n, 2) about `start + offset`, or of `radius` where that is given.

    An arc that cannot be (no centre) is taken as a straight line, as firmware ignores it. NaN: not given.
    """
    centre = _centres(start, end, offset, radius, clockwise)
    out = start - centre
    into = end - centre
    size = np.hypot(out[:, 0], out[:, 1])
    first = np.arctan2(out[:, 1], out[:, 0])
    last = np.arctan2(into[:, 1], into[:, 0])
    turn = np.where(clockwise, first - last, last - first) % _TAU
    closed = np.hypot(*(end - start).T) < 1e-6
    turn = np.where(closed | (turn < 1e-9), _TAU, turn)
    side = np.where(clockwise, -1.0, 1.0)
    low, high = _box((start, end), centre, size, np.where(clockwise, last, first), turn)
    found = Arcs(size * turn, size, _tangent(first, side), _tangent(last, side), low, high)
    return _straight_where(np.isnan(found.length) | (size < 1e-6), found, start, end)


def _centres(start: Floats, end: Floats, offset: Floats, radius: Floats, clockwise: Flags) -> Floats:
    given: Flags = ~(np.isnan(offset[:, 0]) & np.isnan(offset[:, 1]))
    centre = start + np.where(given[:, None], np.nan_to_num(offset), np.nan)
    by_radius = np.flatnonzero(~np.isnan(radius) & ~given)
    if by_radius.size:
        chord = end[by_radius] - start[by_radius]
        length = np.hypot(chord[:, 0], chord[:, 1])
        r = radius[by_radius]
        height_sq = r * r - length * length / 4
        possible = (length > 1e-9) & (height_sq >= 0)
        height = np.sqrt(np.where(possible, height_sq, np.nan)) / np.where(possible, length, 1.0)
        # The shorter arc for a positive radius; the centre lies right of the chord when turning clockwise.
        side = np.where(clockwise[by_radius] == (r >= 0), -1.0, 1.0)
        normal = np.stack((-chord[:, 1], chord[:, 0]), axis=1)
        centre[by_radius] = start[by_radius] + chord / 2 + normal * (side * height)[:, None]
    return centre


def _tangent(angle: Floats, side: Floats) -> Floats:
    return np.stack((-np.sin(angle) * side, np.cos(angle) * side), axis=1)


def _box(
    ends: tuple[Floats, Floats], centre: Floats, size: Floats, begin: Floats, turn: Floats
) -> tuple[Floats, Floats]:
    """Return the box of the ends and of those of the four outermost points that the arc passes."""
    low, high = np.minimum(*ends), np.maximum(*ends)
    for quarter, (x, y) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        passed = (quarter * np.pi / 2 - begin) % _TAU <= turn
        point = centre + size[:, None] * np.array([x, y])
        low = np.where(passed[:, None], np.fmin(low, point), low)
        high = np.where(passed[:, None], np.fmax(high, point), high)
    return low, high


def _straight_where(impossible: Flags, found: Arcs, start: Floats, end: Floats) -> Arcs:
    if not impossible.any():
        return found
    line = end - start
    length = np.hypot(line[:, 0], line[:, 1])
    along = line / np.maximum(length, 1e-9)[:, None]
    pick = impossible[:, None]
    return Arcs(
        np.where(impossible, length, found.length),
        np.where(impossible, np.inf, found.radius),
        np.where(pick, along, found.enter),
        np.where(pick, along, found.leave),
        np.where(pick, np.minimum(start, end), found.low),
        np.where(pick, np.maximum(start, end), found.high),
    )


def speed_limit(radius: Floats, acceleration: Floats, jerk_mm_s: float | None) -> Floats:
    """Return the most mm/s around a circle: `v² = r·a`, and with classic jerk its limit between two pieces."""
    limit = np.sqrt(radius * acceleration)
    if jerk_mm_s is None:
        return limit
    step = np.minimum(_SEGMENT_MM / np.maximum(radius, 1e-6), np.pi)
    return np.minimum(limit, jerk_mm_s / np.maximum(2.0 * np.sin(step / 2.0), 1e-9))
