"""Builds: what a firmware was compiled with, as data.

A `Feature` is a compile-time option of Marlin (or the hardware it stands for) that a host can tell from the answers: a
command that is known or not, a line of M115 or M503, a word of the greeting. Firmware without such options has `ALL`.
"""

from __future__ import annotations

from enum import StrEnum


class UnknownBuildError(ValueError):
    """The dialect has no build of that name; the message lists the valid names."""


class Feature(StrEnum):
    """One compile-time option; the value names it as Marlin's configuration does, or the part it needs."""

    EMERGENCY_PARSER = "EMERGENCY_PARSER"
    HOST_ACTIONS = "HOST_ACTION_COMMANDS"
    HOST_PROMPTS = "HOST_PROMPT_SUPPORT"
    POSITION_REPORTS = "AUTO_REPORT_POSITION"
    DISPLAY = "display with a menu"
    SPEAKER = "SPEAKER"
    EEPROM = "EEPROM_SETTINGS"
    LEVELING = "AUTO_BED_LEVELING_BILINEAR"
    PROBE = "bed probe"
    BED_PID = "PIDTEMPBED"
    LINEAR_ADVANCE = "LIN_ADVANCE"
    PROGRESS = "SET_PROGRESS_MANUALLY"
    FILAMENT_CHANGE = "ADVANCED_PAUSE_FEATURE"
    OBJECTS = "CANCEL_OBJECTS"
    RETRACTION = "FWRETRACT"
    PARKING = "NOZZLE_PARK_FEATURE"
    RUNOUT = "FILAMENT_RUNOUT_SENSOR"
    COUNTER = "PRINTCOUNTER"
    GEOMETRY = "M115_GEOMETRY_REPORT"
    INCHES = "INCH_MODE_SUPPORT"
    EXTRAS = "drivers, lights, pins and whatever else makers add"


ALL = frozenset(Feature)
DEFAULT: frozenset[Feature] = frozenset()  # Marlin's own configuration files as they come
HOST = DEFAULT | {
    Feature.EMERGENCY_PARSER,
    Feature.HOST_ACTIONS,
    Feature.HOST_PROMPTS,
    Feature.POSITION_REPORTS,
}
FULL = ALL - {Feature.EEPROM, Feature.RUNOUT}  # a maker's machine with probe and display, without an EEPROM

_COMMANDS: dict[Feature, tuple[str, ...]] = {
    Feature.HOST_PROMPTS: ("M876",),
    Feature.POSITION_REPORTS: ("M154",),
    Feature.DISPLAY: ("M145", "M250"),
    Feature.SPEAKER: ("M300",),
    Feature.LEVELING: ("G29", "M420", "M421"),
    Feature.PROBE: ("M402", "M851"),
    Feature.BED_PID: ("M304",),
    Feature.LINEAR_ADVANCE: ("M900",),
    Feature.PROGRESS: ("M73",),
    Feature.FILAMENT_CHANGE: ("M600",),
    Feature.OBJECTS: ("M486",),
    Feature.RETRACTION: ("G10", "G11", "M207", "M208", "M209"),
    Feature.PARKING: ("G27",),
    Feature.RUNOUT: ("M412",),
    Feature.COUNTER: ("M78",),
    Feature.INCHES: ("G20",),
    Feature.EXTRAS: (
        *("G17", "M42", "M80", "M149", "M150", "M217", "M218", "M355", "M425", "M555", "M569", "M572"),
        *("M593", "M906", "M913", "M914"),
    ),
}
FEATURE_OF: dict[str, Feature] = {code: feature for feature, codes in _COMMANDS.items() for code in codes}

CAPABILITIES: dict[str, Feature] = {
    "EEPROM": Feature.EEPROM,
    "AUTOREPORT_POS": Feature.POSITION_REPORTS,
    "AUTOLEVEL": Feature.LEVELING,
    "RUNOUT": Feature.RUNOUT,
    "Z_PROBE": Feature.PROBE,
    "LEVELING_DATA": Feature.LEVELING,
    "BUILD_PERCENT": Feature.PROGRESS,
    "EMERGENCY_PARSER": Feature.EMERGENCY_PARSER,
    "HOST_ACTION_COMMANDS": Feature.HOST_ACTIONS,
    "PROMPT_SUPPORT": Feature.HOST_PROMPTS,
}


def knows(features: frozenset[Feature], code: str) -> bool:
    """Whether a build with these features has the command `code`, if its family has it at all."""
    if code in ("M0", "M1"):  # needs something that can end the wait
        return Feature.DISPLAY in features or Feature.EMERGENCY_PARSER in features
    feature = FEATURE_OF.get(code)
    return feature is None or feature in features
