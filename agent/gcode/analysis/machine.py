"""The limits a firmware plans with, and how they change when a file sets them (M201, M203, M204, M205, M220, M221)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.domain.profile import PrinterProfile

AXES = "XYZE"
DEFAULT_SPEED_MM_S = 500.0
DEFAULT_ACCELERATION_MM_S2 = 3000.0
DEFAULT_FEEDRATE_MM_S = 25.0  # Marlin's before the first F
DEFAULT_JERK_MM_S = (8.0, 8.0, 0.4, 5.0)
PLANNER_MOVES = 15  # Marlin's BLOCK_BUFFER_SIZE of 16 keeps one place free


class CornerRule(StrEnum):
    """How a firmware limits the speed where two moves meet."""

    JERK = "jerk"
    JUNCTION_DEVIATION = "junction_deviation"
    SQUARE_CORNER = "square_corner"


Axes = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Machine:
    """Limits by axis X Y Z E in mm/s and mm/s²; accelerations by kind of move; the corner rule with its figure.

    `acceleration` prints, `travel` moves without extruding, `retract` moves the extruder alone. `deviation_mm` belongs
    to junction deviation, `corner_mm_s` to the square corner, `jerk` to classic jerk.
    """

    speed: Axes
    push: Axes
    acceleration: float
    travel: float
    retract: float
    rule: CornerRule
    jerk: Axes
    deviation_mm: float
    corner_mm_s: float
    speed_factor: float = 1.0
    flow_factor: float = 1.0
    moves_ahead: int = PLANNER_MOVES

    @classmethod
    def of(cls, profile: PrinterProfile) -> Machine:
        """Return what the firmware of this printer plans with before the file changes anything."""
        speed, push = profile.max_speed_mm_s, profile.max_acceleration_mm_s2
        if profile.junction_deviation_mm is not None:
            rule = CornerRule.JUNCTION_DEVIATION
        elif profile.square_corner_mm_s is not None:
            rule = CornerRule.SQUARE_CORNER
        else:
            rule = CornerRule.JERK
        jerk = profile.jerk_mm_s
        usual = min(push.get("x", DEFAULT_ACCELERATION_MM_S2), push.get("y", DEFAULT_ACCELERATION_MM_S2))
        return cls(
            speed=_by_axis(speed, (DEFAULT_SPEED_MM_S,) * 4),
            push=_by_axis(push, (DEFAULT_ACCELERATION_MM_S2,) * 4),
            acceleration=usual,
            travel=usual,
            retract=push.get("e", DEFAULT_ACCELERATION_MM_S2),
            rule=rule,
            jerk=_by_axis(jerk, DEFAULT_JERK_MM_S),
            deviation_mm=profile.junction_deviation_mm or 0.013,
            corner_mm_s=profile.square_corner_mm_s or 5.0,
        )

    def after(self, word: str, values: Mapping[str, float]) -> Machine:
        """Return the machine after a command that sets limits; figures that are 0 or less are ignored."""
        given = {letter: value for letter, value in values.items() if value > 0}
        if word == "M201":
            return replace(self, push=_changed(self.push, given))
        if word == "M203":
            return replace(self, speed=_changed(self.speed, given))
        if word == "M205":
            machine = replace(self, jerk=_changed(self.jerk, given))
            return replace(machine, deviation_mm=given["J"]) if "J" in given else machine
        if word == "M220":
            return replace(self, speed_factor=given.get("S", 100.0) / 100)
        if word == "M221":
            return replace(self, flow_factor=given.get("S", 100.0) / 100)
        return self


def _by_axis(given: Mapping[str, float], default: Axes) -> Axes:
    x, y, z, e = (given.get(axis.lower(), usual) for axis, usual in zip(AXES, default, strict=True))
    return x, y, z, e


def _changed(axes: Axes, given: Mapping[str, float]) -> Axes:
    x, y, z, e = (given.get(axis, present) for axis, present in zip(AXES, axes, strict=True))
    return x, y, z, e
