"""How long the virtual printer would take for the moves of a file, without waiting for it."""

from __future__ import annotations

import re

from agent.sim.motion import Motion
from agent.sim.planner import Planner

_PARAMETER = re.compile(r"([A-Z])(-?[\d.]+)")


def ideal_seconds(text: str) -> float:
    """Seconds of motion by the simulator's planner, with its own limits and those that the file sets."""
    planner = Planner(16)
    motion = Motion(planner)
    now = 0.0
    for raw in text.splitlines():
        line = raw.split(";")[0].strip()
        word = line.split(" ")[0]
        values = {letter: float(number) for letter, number in _PARAMETER.findall(line[len(word) :])}
        if word in ("G0", "G1"):
            now = _move(motion, planner, values, now)
        elif word == "G28":
            planner.ideal.rest()
            planner.stop(now)
            motion.set_position((0.0, 0.0, 0.0, motion.position[3]))
            motion.homed = [True] * 3
        else:
            _set(motion, word, values)
    return planner.ideal.total_s()


def _move(motion: Motion, planner: Planner, values: dict[str, float], now: float) -> float:
    place = list(motion.position)
    for index, axis in enumerate("XYZE"):
        if axis in values:
            place[index] = motion.target(index, values[axis])
    if values.get("F"):
        motion.feedrate = values["F"] / 60
    while planner.full:
        now = planner.next_event()
        planner.advance(now)
    motion.line_to((place[0], place[1], place[2], place[3]), now, slowed=False)
    return now


def _set(motion: Motion, word: str, values: dict[str, float]) -> None:
    limits = motion.limits
    if word in ("G90", "G91"):
        motion.relative = motion.relative_e = word == "G91"
    elif word in ("M82", "M83"):
        motion.relative_e = word == "M83"
    elif word == "G92":
        motion.set_position((*motion.position[:3], values.get("E", motion.position[3])))
    elif word in ("M201", "M203"):
        table = limits.max_acceleration if word == "M201" else limits.max_speed
        for index, axis in enumerate("XYZE"):
            table[index] = values.get(axis, table[index])
    elif word == "M205":
        limits.junction_deviation = values.get("J", limits.junction_deviation)
    elif word == "M204":
        both = values.get("S")
        limits.print_acceleration = values.get("P", both or limits.print_acceleration)
        limits.travel_acceleration = values.get("T", both or limits.travel_acceleration)
        limits.retract_acceleration = values.get("R", limits.retract_acceleration)
