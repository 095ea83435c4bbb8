"""Position, modes and limits of the machine, and the translation of G-code moves into planner moves.

Units: mm, mm/s, mm/s². Defaults are those of Marlin's default configuration for a 220 x 220 x 250 mm bed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import acos, inf, sqrt

from agent.sim.lookahead import Move, Position
from agent.sim.planner import Planner

BED_MM: tuple[float, float, float] = (220.0, 220.0, 250.0)
MIN_DISTANCE_MM = 0.002  # less than a microstep on every axis makes no move
MIN_SPEED = 0.05  # mm/s, Marlin's MINIMUM_PLANNER_SPEED
SMALL_SEGMENT_MM = 1.0  # below this a junction is also judged as a piece of an arc
AXES = "XYZE"
NO_SHIFT: Position = (0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class Limits:
    """What M92, M201, M203, M204, M205 set; axes in the order X Y Z E."""

    steps_per_mm: list[float] = field(default_factory=lambda: [80.0, 80.0, 400.0, 500.0])
    max_speed: list[float] = field(default_factory=lambda: [300.0, 300.0, 5.0, 25.0])
    max_acceleration: list[float] = field(default_factory=lambda: [3000.0, 3000.0, 100.0, 10000.0])
    print_acceleration: float = 3000.0
    retract_acceleration: float = 3000.0
    travel_acceleration: float = 3000.0
    junction_deviation: float = 0.013
    min_segment_s: float = 0.02  # M205 B: shorter moves are slowed while the planner runs low


class Motion:
    """Where the machine is in G-code terms. `line_to` plans one straight move."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.limits = Limits()
        self.position: Position = (0.0, 0.0, 0.0, 0.0)
        self.relative = False
        self.relative_e = False
        self.feedrate = 25.0  # F of the last move, mm/s
        self.feed_percent = 100.0
        self.backup_percent = 100.0  # M220 B
        self.flow_percent = 100.0
        self.inches = False
        self.homed = [False, False, False]  # the motors have been on ever since
        self.limited = [False, False, False]  # homed once: the soft end stops hold
        self.soft_endstops = True
        self.shift = NO_SHIFT  # G92: coordinates minus those of the machine
        self._unit: Position = (0.0, 0.0, 0.0, 0.0)  # direction of the last move
        self._last_speed = 0.0
        self._last_ideal_speed = 0.0  # the same without the slowing for want of supply

    def target(self, index: int, value: float) -> float:
        """The absolute coordinate that `value` means on an axis, in mm, held within the bed once homed."""
        if self.inches:
            value *= 25.4
        if self.relative_e if index == 3 else self.relative:
            value += self.position[index]
        if index < 3 and self.soft_endstops and self.limited[index]:
            shift = self.shift[index]
            value = max(shift, min(value, shift + BED_MM[index]))
        return value

    def line_to(self, end: Position, now: float, *, cold: bool = False, slowed: bool = True) -> bool:
        """Plan a straight move to `end`; the planner must have room. `cold`: the extruder part is left out.

        Returns whether a move was planned (not for less than a step).
        """
        start = self.position
        self.position = end
        if self.shift != NO_SHIFT:
            start, end = self.native(start), self.native(end)
        dx, dy, dz = end[0] - start[0], end[1] - start[1], end[2] - start[2]
        de = 0.0 if cold else (end[3] - start[3]) * self.flow_percent * 0.01
        path = dx * dx + dy * dy + dz * dz
        distance = sqrt(path) if path > MIN_DISTANCE_MM**2 else abs(de)
        if distance < MIN_DISTANCE_MM:
            return False
        unit = (dx / distance, dy / distance, dz / distance, de / distance)
        speed, acceleration = self._rates(unit, moves=path > MIN_DISTANCE_MM**2)
        ideal_speed = speed
        waiting = self.planner.count
        limits = self.limits
        if (
            slowed
            and 2 <= waiting < (self.planner.capacity + 1) // 2
            and distance < speed * limits.min_segment_s
        ):
            duration = distance / speed
            speed = distance / (duration + 2.0 * (limits.min_segment_s - duration) / waiting)
        corner_sq = self._corner_sq(unit, distance, acceleration)
        move = Move(distance, speed, acceleration, _entry_sq(corner_sq, speed, self._last_speed), start, end)
        ideal_entry = _entry_sq(corner_sq, ideal_speed, self._last_ideal_speed)
        ideal = move
        if speed < ideal_speed or ideal_entry != move.entry_speed_sq:
            ideal = Move(distance, ideal_speed, acceleration, ideal_entry, start, end)
        self.planner.add(move, now, ideal=ideal)
        self._unit, self._last_speed, self._last_ideal_speed = unit, speed, ideal_speed
        return True

    def _rates(self, unit: Position, *, moves: bool) -> tuple[float, float]:
        limits = self.limits
        speed = max(MIN_SPEED, self.feedrate * self.feed_percent * 0.01)
        if not moves:
            acceleration = limits.retract_acceleration
        elif unit[3]:
            acceleration = limits.print_acceleration
        else:
            acceleration = limits.travel_acceleration
        top, push = limits.max_speed, limits.max_acceleration
        for axis in (0, 1, 2, 3):
            share = unit[axis]
            if share:
                if share < 0.0:
                    share = -share
                if speed * share > top[axis]:
                    speed = top[axis] / share
                if acceleration * share > push[axis]:
                    acceleration = push[axis] / share
        return max(speed, MIN_SPEED), max(acceleration, 1.0)

    def _corner_sq(self, unit: Position, distance: float, acceleration: float) -> float:
        """Squared speed that the corner between the last move and this one allows, by junction deviation."""
        last = self._unit
        cosine = -(unit[0] * last[0] + unit[1] * last[1] + unit[2] * last[2] + unit[3] * last[3])
        if cosine > 0.999999:
            return 0.0
        if cosine <= -0.999999:
            return inf
        sine_half = sqrt(0.5 * (1.0 - cosine))
        corner = acceleration * self.limits.junction_deviation * sine_half / (1.0 - sine_half)
        if distance < SMALL_SEGMENT_MM and cosine < -0.7071:
            corner = min(corner, distance / acos(-cosine) * acceleration)
        return corner

    def set_position(self, position: Position) -> None:
        """Homing, or G92 where that moves the machine's own coordinates: the machine is here now, without moving."""
        self.position = position

    def shift_to(self, position: Position) -> None:
        """G92 as Marlin has it: these are the coordinates of X, Y, Z from now on, and E is set outright."""
        old, shift = self.position, self.shift
        moved = [shift[i] + position[i] - old[i] for i in range(3)]
        self.shift = (moved[0], moved[1], moved[2], 0.0)
        self.position = position

    def stopped_at(self, native: Position) -> None:
        """A quick stop ended all motion at these coordinates of the machine."""
        x, y, z, e = (a + b for a, b in zip(native, self.shift, strict=True))
        self.position = (x, y, z, e)

    def set_home(self, axis: int) -> None:
        """The axis stands at its end stop; its coordinates are those of the machine again."""
        place, shift = list(self.position), list(self.shift)
        place[axis] = shift[axis] = 0.0
        self.position = (place[0], place[1], place[2], place[3])
        self.shift = (shift[0], shift[1], shift[2], shift[3])
        self.homed[axis] = self.limited[axis] = True

    def native(self, position: Position) -> Position:
        """Coordinates of the machine, without what G92 shifted."""
        x, y, z, e = (a - b for a, b in zip(position, self.shift, strict=True))
        return x, y, z, e

    def actual(self, now: float) -> Position:
        """Where the motors are, in coordinates of the machine."""
        return self.planner.position(now) or self.native(self.position)

    def steps(self, now: float | None) -> tuple[int, int, int]:
        """Stepper counts of X, Y and Z: at an instant, or with None after the last planned move."""
        place = self.native(self.position) if now is None else self.actual(now)
        x, y, z = (round(place[i] * self.limits.steps_per_mm[i]) for i in range(3))
        return x, y, z


def _entry_sq(corner_sq: float, speed: float, last_speed: float) -> float:
    slower = min(last_speed, speed)
    return min(corner_sq, slower * slower)
