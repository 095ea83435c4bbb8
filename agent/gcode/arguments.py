"""The arguments of allowed commands: letters, ranges, heater ceilings, and machine limits that only go down."""

from __future__ import annotations

from dataclasses import replace

from agent.domain.artefact import Finding, Severity
from agent.domain.profile import PrinterProfile
from agent.gcode.catalogue import RANGES
from agent.gcode.command import Command, Parameter
from agent.gcode.temperatures import HEAT_WORDS, limits_of, target_of, too_hot

_QUOTED_WORDS = frozenset({"M862.1", "M862.3", "M862.4", "M862.6"})
_INCOMPLETE = {
    "G92": "G92 without E moves the coordinate system",
    "M302": "M302 without S allows cold extrusion on old firmware",
}
_ACCELERATION_LETTERS = {"P": "x", "R": "e", "T": "x", "S": "x"}


def check_heat(head: Command, parameters: tuple[Parameter, ...], profile: PrinterProfile) -> Finding | None:
    """Return an error for a target above the ceiling, a warning for a heater this printer lacks, else None."""
    if head.base not in HEAT_WORDS:
        return None
    letters = HEAT_WORDS[head.base].letters
    for parameter in parameters:
        if parameter.letter not in letters:
            return _error(
                "unexpected_argument", f"{head.word}: {parameter.letter} can set a target nobody sees"
            )
        heater = target_of(head.base, parameter, parameters)
        if heater is None:
            continue
        if parameter.value is None:
            return _error("malformed_line", f"{head.word}: {parameter.letter} needs a number")
        if limits_of(profile, heater) is None:
            return Finding(
                "no_such_heater",
                Severity.WARNING if parameter.value else Severity.INFO,
                0,
                f"{head.word} is left out: {profile.name} has no heated {heater}",
                "slice for this printer",
            )
        if reason := too_hot(profile, heater, parameter.value):
            return _error(
                "temperature_over_limit",
                f"{head.word}: {reason}",
                "choose a cooler material, or correct the profile",
            )
    return _unknown_tool(head, parameters, profile)


def check_letters(
    head: Command, parameters: tuple[Parameter, ...], letters: str, *, bare_allowed: bool
) -> Finding | None:
    """Return an error for a letter that the command may not have, a missing number or one out of range."""
    for parameter in parameters:
        letter, value = parameter.letter, parameter.value
        if letter not in letters:
            return _error("unexpected_argument", f"{head.word} may not have {letter} in a print job")
        if value is None:
            if not bare_allowed or (parameter.raw and head.word not in _QUOTED_WORDS):
                return _error("malformed_line", f"{head.word}: {letter} needs a number")
            continue
        low, high = RANGES.get((head.word, letter), (value, value))
        if not low <= value <= high:
            return _error(
                "argument_out_of_range", f"{head.word} {letter}{value:g} is outside {low:g} to {high:g}"
            )
    if head.word in _INCOMPLETE and not parameters:
        return _error("unexpected_argument", _INCOMPLETE[head.word])
    return None


def check_tool(head: Command, parameters: tuple[Parameter, ...], profile: PrinterProfile) -> Finding | None:
    """Return an error for a tool that this printer does not have."""
    if parameters:
        return _error(
            "unexpected_argument", f"{head.word} may not have {parameters[0].letter} in a print job"
        )
    if head.word != head.base or int(head.base[1:]) >= profile.extruders:
        return _tool_error(head.word, profile)
    return None


def clamp(
    head: Command, parameters: tuple[Parameter, ...], profile: PrinterProfile, dialect: str
) -> tuple[tuple[Parameter, ...], tuple[Finding, ...]]:
    """Lower machine limits (M201, M203, M204, M205) to those of the profile; 0 where it would stop the machine."""
    if head.word not in ("M201", "M203", "M204", "M205"):
        return parameters, ()
    kept: list[Parameter] = []
    lowered: list[str] = []
    for parameter in parameters:
        value, ceiling = parameter.value, _ceiling(head.word, parameter.letter, profile, dialect)
        if value is None or value < 0 or (value == 0 and head.word in ("M201", "M203", "M204")):
            return parameters, (
                _error(
                    "argument_out_of_range",
                    f"{head.word} {parameter.letter}{parameter.raw} stops the machine",
                ),
            )
        if ceiling is not None and value > ceiling:
            lowered.append(f"{parameter.letter}{value:g} to {ceiling:g}")
            parameter = replace(parameter, value=ceiling, raw=f"{ceiling:g}")  # noqa: PLW2901
        kept.append(parameter)
    if not lowered:
        return parameters, ()
    note = Finding(
        "limit_lowered",
        Severity.INFO,
        0,
        f"{head.word}: lowered to the limits of {profile.name} ({', '.join(lowered)})",
        "set the machine limits in the slicer to those of this printer",
    )
    return tuple(kept), (note,)


def check_velocity_limit(
    head: Command, parameters: dict[str, str], profile: PrinterProfile
) -> Finding | None:
    """Return a warning when Klipper's SET_VELOCITY_LIMIT would go above the profile's limits."""
    if head.word != "SET_VELOCITY_LIMIT":
        return None
    ceilings = {
        "VELOCITY": profile.max_speed_mm_s.get("x"),
        "ACCEL": profile.max_acceleration_mm_s2.get("x"),
        "ACCEL_TO_DECEL": profile.max_acceleration_mm_s2.get("x"),
    }
    for key, text in parameters.items():
        ceiling = ceilings.get(key)
        number = float(text) if text.replace(".", "", 1).isdecimal() else None
        if number is None or number == 0 or (ceiling is not None and number > ceiling):
            return Finding("limit_lowered", Severity.WARNING, 0, f"{head.word} {key}={text[:20]} is left out")
    return None


def _ceiling(word: str, letter: str, profile: PrinterProfile, dialect: str) -> float | None:
    axis = letter.lower()
    if word == "M201":
        return profile.max_acceleration_mm_s2.get(axis)
    if word == "M203":
        speed = profile.max_speed_mm_s.get(axis)
        # RepRapFirmware takes mm/min here, everybody else mm/s.
        return speed * 60 if speed is not None and dialect == "reprap" else speed
    if word == "M204":
        return profile.max_acceleration_mm_s2.get(_ACCELERATION_LETTERS[letter])
    return profile.jerk_mm_s.get(axis) if letter in "XYZE" else None


def _unknown_tool(
    head: Command, parameters: tuple[Parameter, ...], profile: PrinterProfile
) -> Finding | None:
    if head.base not in ("M104", "M109"):
        return None
    tools = [parameter for parameter in parameters if parameter.letter == "T"]
    if any(tool.value is None or not 0 <= tool.value < profile.extruders for tool in tools):
        return _tool_error(f"{head.word} T{tools[0].raw}", profile)
    return None


def _tool_error(what: str, profile: PrinterProfile) -> Finding:
    return _error(
        "unknown_tool",
        f"{what}: {profile.name} has {profile.extruders} extruder(s), T0 to T{profile.extruders - 1}",
        "slice for this printer",
    )


def _error(identity: str, message: str, remedy: str = "correct the slicer's custom G-code") -> Finding:
    return Finding(identity, Severity.ERROR, 0, message, remedy)
