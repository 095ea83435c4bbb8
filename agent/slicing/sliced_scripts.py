"""The G-code around a sliced part: the unit's own start and end scripts, filled; the slicer adds nothing of its own."""

from __future__ import annotations

from agent.slicing.script_text import fill_script
from agent.slicing.setup import PrintSetup

# Ends every sliced file. What follows it can only be the engine's comments: anything else is refused.
END_MARK = ";fabunit: end of the sliced print"

DEFAULT_START = (
    "M140 S{first_bed}", "M141 S{chamber}", "M104 S{first_nozzle}", "G90", "G28",
    "M190 S{first_bed}", "M109 S{first_nozzle}", "G1 Z5 F600",
)  # fmt: skip
DEFAULT_END = (
    "G91", "G1 E-{retract} F{retract_speed}", "G1 Z{lift} F600", "G90", "G1 X{park_x} Y{park_y} F6000",
    "M107", "M104 S0", "M140 S0", "M141 S0", "M84",
)  # fmt: skip


def start_lines(setup: PrintSetup) -> tuple[str, ...]:
    """Return the commands before the part: machine limits, the start script, relative extrusion from 0.

    The extruder counts relatively in both scripts, whatever an engine wrote before them (CuraEngine writes M82).
    """
    script = fill_script(setup.machine.scripts.start or DEFAULT_START, _values(setup))
    return (*limit_lines(setup), "G21", "G90", "M83", *script, "G90", "M83", "G92 E0")


def end_lines(setup: PrintSetup) -> tuple[str, ...]:
    """Return the commands after the part, the end mark last."""
    script = fill_script(setup.machine.scripts.end or DEFAULT_END, _values(setup))
    kept = [line for line in script if not _speaks_of_missing_heater(line, setup)]
    return ("M83", *kept, END_MARK)


def limit_lines(setup: PrintSetup) -> tuple[str, ...]:
    """Return M201, M203 and M205 with the profile's limits, so that the machine plans as the estimate does."""
    slicing, motion = setup.machine.slicing, setup.machine.motion
    if not slicing.sets_limits or slicing.flavour in ("klipper", "reprap"):
        return ()
    lines = [
        _axes("M201", motion.max_acceleration_mm_s2.as_dict()),
        _axes("M203", motion.max_speed_mm_s.as_dict()),
    ]
    if motion.jerk_mm_s is not None:
        lines.append(_axes("M205", motion.jerk_mm_s.as_dict()))
    elif motion.junction_deviation_mm is not None:
        lines.append(f"M205 J{motion.junction_deviation_mm:g}")
    return tuple(lines)


def _axes(word: str, figures: dict[str, float]) -> str:
    return " ".join([word, *(f"{axis.upper()}{value:g}" for axis, value in figures.items())])


def _values(setup: PrintSetup) -> dict[str, float | None]:
    targets, profile = setup.targets, setup.profile
    width, depth, height = profile.volume_mm
    return {
        "nozzle": targets.nozzle_c,
        "first_nozzle": targets.first_nozzle_c,
        "bed": targets.bed_c or None,
        "first_bed": targets.first_bed_c or None,
        "chamber": targets.chamber_c or None,
        "width": width,
        "depth": depth,
        "height": height,
        "park_x": profile.park_mm[0],
        "park_y": profile.park_mm[1],
        "lift": profile.park_lift_mm,
        "retract": setup.retract_mm,
        "retract_speed": setup.retract_speed_mm_s * 60,
    }


def _speaks_of_missing_heater(line: str, setup: PrintSetup) -> bool:
    word = line.split(" ", 1)[0]
    return (word == "M140" and setup.profile.bed is None) or (
        word == "M141" and setup.profile.chamber is None
    )
