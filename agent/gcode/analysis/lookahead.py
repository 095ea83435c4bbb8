"""How long moves take: trapezoids between the speeds at which they meet, for whole arrays of moves.

Units: mm, mm/s, mm/s². Both passes of a look-ahead planner are running minima: going back, the squared speed at which a
move may begin is the least `limit + energy between` over the moves that the planner knows; going forward, it cannot
rise by more than `2·a·distance` per move. So neither pass needs a loop over moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.gcode.analysis.machine import CornerRule, Machine

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SMALL_SEGMENT_MM = 1.0  # below this Marlin judges a junction as a piece of an arc, too
_STRAIGHT = 0.999999
_INSTANT_EXTRUDER_MM_S = 1.0  # Klipper's instantaneous_corner_velocity


@dataclass(frozen=True, slots=True)
class Moves:
    """Moves in order. `enter` and `leave`: unit vectors X Y Z E at both ends, shape (4, n); equal but for arcs.

    `rests`: the machine stands still before this move. `arc_limit`: most mm/s along an arc, infinite on a line.
    """

    distance: Floats
    speed: Floats
    acceleration: Floats
    enter: Floats
    leave: Floats
    rests: Flags
    arc_limit: Floats

    def __len__(self) -> int:
        return len(self.distance)

    def part(self, start: int, stop: int | None) -> Moves:
        """Return the moves from `start` up to `stop`."""
        cut = slice(start, stop)
        return Moves(
            self.distance[cut], self.speed[cut], self.acceleration[cut], self.enter[:, cut], self.leave[:, cut],
            self.rests[cut], self.arc_limit[cut],
        )  # fmt: skip


def join(first: Moves, second: Moves) -> Moves:
    """Return the moves of both in order."""
    pairs = (
        np.concatenate((getattr(first, name), getattr(second, name)), axis=-1)
        for name in ("distance", "speed", "acceleration", "enter", "leave", "rests", "arc_limit")
    )
    return Moves(*pairs)


def no_moves() -> Moves:
    """Return an empty sequence."""
    none = np.zeros(0)
    return Moves(none, none, none, np.zeros((4, 0)), np.zeros((4, 0)), np.zeros(0, bool), none)


def limited(moves: Moves, machine: Machine) -> Moves:
    """Return the moves with speed and acceleration within the limits of the axes they use."""
    share = np.maximum(np.abs(moves.enter), 1e-9)
    speed = np.minimum(moves.speed, moves.arc_limit)
    push = moves.acceleration
    for axis in range(4):
        speed = np.minimum(speed, machine.speed[axis] / share[axis])
        push = np.minimum(push, machine.push[axis] / share[axis])
    return Moves(
        moves.distance, speed, np.maximum(push, 1.0), moves.enter, moves.leave, moves.rests, moves.arc_limit
    )


def junctions(moves: Moves, machine: Machine) -> tuple[Floats, Floats]:
    """Return the squared speeds at which each move may begin: behind the move before it, and from rest.

    The first move counts as one that begins at rest, which means 0, or the jerk speed with classic jerk.
    """
    if machine.rule is CornerRule.JERK:
        return _by_jerk(moves, machine)
    before = np.roll(moves.leave, 1, axis=1)
    speed = np.minimum(moves.speed, np.roll(moves.speed, 1))
    if machine.rule is CornerRule.JUNCTION_DEVIATION:
        corner = _by_deviation(moves, before, machine.deviation_mm)
    else:
        corner = _by_square_corner(moves, before, machine.corner_mm_s)
    entry = np.minimum(corner, speed * speed)
    entry[moves.rests] = 0.0
    if len(entry):
        entry[0] = 0.0
    return entry, np.zeros(len(entry))


def plan(
    moves: Moves, entry_sq: Floats, rest_sq: Floats, moves_ahead: int, start_sq: float
) -> tuple[Floats, Floats]:
    """Return seconds of each move, and the squared speed at which each begins.

    `entry_sq` are the junctions' limits, `rest_sq` what is allowed at the end when nothing follows, `start_sq` the
    speed the machine has at the first move. A planner brakes for the end of the `moves_ahead` moves that it knows.
    """
    count = len(moves)
    if not count:
        return np.zeros(0), np.zeros(0)
    energy = 2.0 * moves.acceleration * moves.distance
    total = np.concatenate(([0.0], np.cumsum(energy)))
    limits = np.append(entry_sq, rest_sq[-1])
    limits[0] = start_sq
    reach = limits + total
    # The machine must be able to stop at the end of what the planner knows; one place is the running move's.
    stop = np.minimum(np.arange(count + 1) + moves_ahead - 1, count)
    known = np.minimum(_window_min(reach, moves_ahead), total[stop] + rest_sq[np.maximum(stop - 1, 0)])
    allowed = np.minimum(np.maximum(known - total, 0.0), limits)
    allowed[0] = start_sq
    begin = np.minimum.accumulate(allowed - total) + total
    begin = np.maximum(begin, 0.0)
    return _durations(moves, begin[:-1], begin[1:]), begin[:-1]


def _window_min(values: Floats, width: int) -> Floats:
    """Return the least of `values[i : i + width]` for every i, by doubling."""
    least = values.copy()
    done = 1
    while done < width:
        step = min(done, width - done)
        least[:-step] = np.minimum(least[:-step], least[step:])
        done += step
    return least


def _durations(moves: Moves, begin_sq: Floats, end_sq: Floats) -> Floats:
    """Return the seconds of trapezoids, or triangles where the speed is not reached."""
    push, speed = moves.acceleration, moves.speed
    peak_sq = np.minimum(speed * speed, (2.0 * push * moves.distance + begin_sq + end_sq) / 2.0)
    peak_sq = np.maximum(peak_sq, np.maximum(begin_sq, end_sq))
    peak = np.sqrt(np.maximum(peak_sq, 1e-12))
    ramps = (2.0 * peak_sq - begin_sq - end_sq) / (2.0 * push)
    flat = np.maximum(moves.distance - ramps, 0.0)
    return (2.0 * peak - np.sqrt(begin_sq) - np.sqrt(end_sq)) / push + flat / peak


def _safe(moves: Moves, machine: Machine) -> Floats:
    """Marlin 1.1 planner.cpp: an axis faster than its jerk limits the whole move to that figure."""
    safe = moves.speed
    for axis, jerk in enumerate(machine.jerk):
        is_faster = np.abs(moves.enter[axis]) * moves.speed > jerk
        safe = np.where(is_faster, np.minimum(safe, jerk), safe)
    return safe


def _by_jerk(moves: Moves, machine: Machine) -> tuple[Floats, Floats]:
    """Classic jerk: the change of speed of no axis exceeds its limit (Marlin 1.1 planner.cpp)."""
    if not len(moves):
        return np.zeros(0), np.zeros(0)
    safe = _safe(moves, machine)
    speed, last = moves.speed, np.roll(moves.speed, 1)
    # Both velocities as they would be at the speed of the slower move, as long as no axis limits it further.
    leaving_speed = np.minimum(last, speed)
    factor = np.ones(len(moves))
    for axis, jerk in enumerate(machine.jerk):
        out = np.roll(moves.leave[axis], 1) * leaving_speed * factor
        into = moves.enter[axis] * speed * factor
        # Where the axis turns round, the larger of both speeds counts, else their difference.
        change = np.where(out * into < 0, np.maximum(np.abs(out), np.abs(into)), np.abs(out - into))
        factor *= np.minimum(1.0, jerk / np.maximum(change, 1e-9))
    junction = leaving_speed * factor
    threshold = junction * 0.99
    is_safe = (np.roll(safe, 1) > threshold) & (safe > threshold)
    junction = np.where(is_safe | moves.rests, safe, junction)
    junction[0] = safe[0]
    return junction * junction, safe * safe


def _by_deviation(moves: Moves, before: Floats, deviation_mm: float) -> Floats:
    """Junction deviation as in Marlin 2.1 planner.cpp, with its rule for small segments of arcs."""
    cosine = -(moves.enter * before).sum(axis=0)
    bounded = np.clip(cosine, -_STRAIGHT, _STRAIGHT)
    half = np.sqrt(0.5 * (1.0 - bounded))
    corner = moves.acceleration * deviation_mm * half / (1.0 - half)
    small = (moves.distance < _SMALL_SEGMENT_MM) & (cosine < -0.7071)
    if small.any():
        arc = moves.distance / np.arccos(-bounded) * moves.acceleration
        corner = np.where(small, np.minimum(corner, arc), corner)
    return np.where(cosine > _STRAIGHT, 0.0, np.where(cosine <= -_STRAIGHT, np.inf, corner))


def _by_square_corner(moves: Moves, before: Floats, corner_mm_s: float) -> Floats:
    """Klipper's toolhead: the deviation follows from the speed through a right angle; extruder moves end at rest."""
    cosine = -(moves.enter[:3] * before[:3]).sum(axis=0)
    bounded = np.clip(cosine, -_STRAIGHT, _STRAIGHT)
    half = np.sqrt(0.5 * (1.0 - bounded))
    radius = half / (1.0 - half)
    tangent = half / np.sqrt(0.5 * (1.0 + bounded))
    push = moves.acceleration
    corner = radius * corner_mm_s**2 * (np.sqrt(2.0) - 1.0)
    centripetal = 0.5 * moves.distance * tangent * push
    earlier = 0.5 * np.roll(moves.distance * push, 1) * tangent
    corner = np.minimum(np.minimum(corner, centripetal), earlier)
    change = np.abs(moves.enter[3] - before[3])
    extruder = np.where(change > 0, (_INSTANT_EXTRUDER_MM_S / np.maximum(change, 1e-9)) ** 2, np.inf)
    corner = np.where(cosine > _STRAIGHT, 0.0, np.where(cosine <= -_STRAIGHT, np.inf, corner))
    travels = np.abs(moves.enter[:3]).sum(axis=0) > 0
    together = travels & np.roll(travels, 1)
    return np.where(together, np.minimum(corner, extruder), 0.0)
