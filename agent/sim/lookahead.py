"""Look-ahead over straight moves: entry and exit speeds, trapezoids, durations.

Units: mm, mm/s, mm/s². The plan of a move is fixed when it starts, with what is known of its successors then,
as in Marlin (a running block is not planned again). The speed limit at the end of a move is the smallest
`v² + 2·a·distance` over all later junctions, the last move ending at rest. These sums are kept in a monotonic
queue, so that a move costs the same however deep the planner is.
"""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import NamedTuple

Position = tuple[float, float, float, float]


class Move(NamedTuple):
    """One straight move as it enters the planner."""

    distance: float
    speed: float  # nominal
    acceleration: float
    entry_speed_sq: float  # highest allowed at the junction with the move before
    start: Position
    end: Position


class Plan(NamedTuple):
    """A move with its speeds fixed."""

    move: Move
    entry_speed: float
    exit_speed: float
    peak_speed: float
    duration_s: float

    def distance_after(self, elapsed_s: float) -> float:
        """Distance covered `elapsed_s` after the start."""
        a = self.move.acceleration
        t_up = (self.peak_speed - self.entry_speed) / a
        t_down = (self.peak_speed - self.exit_speed) / a
        t_flat = max(0.0, self.duration_s - t_up - t_down)
        if elapsed_s <= t_up:
            return self.entry_speed * elapsed_s + 0.5 * a * elapsed_s**2
        up = 0.5 * (self.entry_speed + self.peak_speed) * t_up
        if elapsed_s <= t_up + t_flat:
            return up + self.peak_speed * (elapsed_s - t_up)
        late = min(elapsed_s - t_up - t_flat, t_down)
        return min(self.move.distance, up + self.peak_speed * (t_flat + late) - 0.5 * a * late**2)


def trapezoid(
    distance: float, speed: float, acceleration: float, entry_sq: float, exit_sq: float
) -> tuple[float, float]:
    """Peak speed and duration of a move between two squared speeds that it can reach."""
    two_a = 2.0 * acceleration
    entry, exit_ = sqrt(entry_sq), sqrt(exit_sq)
    ramps = (2.0 * speed * speed - entry_sq - exit_sq) / two_a
    if ramps <= distance:
        return speed, (2.0 * speed - entry - exit_) / acceleration + (distance - ramps) / speed
    peak = sqrt(max(entry_sq, exit_sq, (two_a * distance + entry_sq + exit_sq) / 2.0))
    return peak, (
        2.0 * peak - entry - exit_
    ) / acceleration if peak > entry or peak > exit_ else distance / peak


class LookAhead:
    """A queue of moves; `start_next` fixes the plan of the oldest."""

    __slots__ = ("_energy", "_entry_sq", "_junctions", "_moves")

    def __init__(self) -> None:
        self._moves: deque[tuple[Move, float]] = deque()  # move, sum of 2·a·d up to its end
        self._junctions: deque[tuple[float, float]] = (
            deque()
        )  # (bound, sum at the junction), bounds increasing
        self._energy = 0.0  # sum of 2·a·d of all moves since the last standstill
        self._entry_sq = 0.0  # of the next move to start

    def __len__(self) -> int:
        return len(self._moves)

    def push(self, move: Move) -> None:
        """Append a move."""
        if not self._moves and not self._entry_sq:
            self._energy = 0.0
            self._junctions.clear()
        at = self._energy
        bound = move.entry_speed_sq + at
        junctions = self._junctions
        while junctions and junctions[-1][0] >= bound:
            junctions.pop()
        junctions.append((bound, at))
        self._energy = at + 2.0 * move.acceleration * move.distance
        self._moves.append((move, self._energy))

    def start_next(self) -> Plan:
        """Take the oldest move and fix its speeds. The queue must not be empty."""
        move, end = self._moves.popleft()
        junctions = self._junctions
        while junctions and junctions[0][1] < end:
            junctions.popleft()
        bound = self._energy if not junctions or junctions[0][0] > self._energy else junctions[0][0]
        reach = self._entry_sq + 2.0 * move.acceleration * move.distance
        exit_sq = bound - end
        exit_sq = 0.0 if exit_sq < 1e-9 else min(exit_sq, reach, move.speed * move.speed)
        entry_sq = min(self._entry_sq, move.speed * move.speed)
        peak, duration = trapezoid(move.distance, move.speed, move.acceleration, entry_sq, exit_sq)
        self._entry_sq = exit_sq
        return Plan(move, sqrt(entry_sq), sqrt(exit_sq), peak, duration)

    def clear(self) -> None:
        """Drop everything; the next move starts from rest."""
        self._moves.clear()
        self._junctions.clear()
        self._energy = self._entry_sq = 0.0

    def copy(self) -> LookAhead:
        """An independent queue with the same moves."""
        other = LookAhead()
        other._moves = self._moves.copy()
        other._junctions = self._junctions.copy()
        other._energy = self._energy
        other._entry_sq = self._entry_sq
        return other
