"""The ceiling of every heater: no command from any source sets a target above the profile's limits."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.gcode.command import Parameter


@dataclass(frozen=True, slots=True)
class HeatWord:
    """A word that sets targets: parameter letter → heater, and all letters it may come with."""

    targets: dict[str, str]
    letters: str


_HOTEND = HeatWord({"S": "hotend", "R": "hotend"}, "SRTP")
_BED = HeatWord({"S": "bed", "R": "bed"}, "SRP")
_CHAMBER = HeatWord({"S": "chamber", "R": "chamber"}, "SRP")

# Presets (Marlin `I`) and autotemp (`B`, `F` of M104) are no letters here: they set targets that nobody sees.
HEAT_WORDS: dict[str, HeatWord] = {
    "M104": _HOTEND,
    "M109": _HOTEND,
    "M140": _BED,
    "M190": _BED,
    "M141": _CHAMBER,
    "M191": _CHAMBER,
    "G10": HeatWord({"S": "hotend", "R": "hotend"}, "SRP"),  # RepRapFirmware: temperatures of a tool
    "M568": HeatWord({"S": "hotend", "R": "hotend"}, "SRPA"),
    "M145": HeatWord({"H": "hotend", "B": "bed", "C": "chamber"}, "SHBCF"),
    "M303": HeatWord({"S": "hotend"}, "SECUDHTPQY"),
}

_KLIPPER_HEATERS = {"EXTRUDER": "hotend", "HEATER_BED": "bed", "CHAMBER": "chamber"}


def limits_of(profile: PrinterProfile, heater: str) -> HeaterLimits | None:
    """Return the limits of `hotend`, `bed` or `chamber`; None when this printer has no such heater."""
    return {"hotend": profile.hotend, "bed": profile.bed, "chamber": profile.chamber}[heater]


def target_of(word: str, parameter: Parameter, parameters: tuple[Parameter, ...]) -> str | None:
    """Return the heater whose target this parameter sets, None when it sets none."""
    heater = HEAT_WORDS[word].targets.get(parameter.letter) if word in HEAT_WORDS else None
    if word == "M303" and heater and any(p.letter == "E" and (p.value or 0) < 0 for p in parameters):
        return "bed"
    return heater


def too_hot(profile: PrinterProfile, heater: str, celsius: float) -> str | None:
    """Return why this target is refused, None when it is within the limits; 0 (off) is always fine."""
    if celsius == 0:
        return None
    limits = limits_of(profile, heater)
    if limits is None:
        return f"{profile.name} has no heated {heater}"
    if not 0 <= celsius <= limits.max_c:
        return f"{celsius:g} °C is outside 0 to {limits.max_c:g} °C, the {heater} limits of {profile.name}"
    return None


def klipper_heater(name: str) -> str | None:
    """Return which heater a Klipper section name means; None for one that this agent does not know."""
    section = name.upper().split()[-1] if name else ""
    if section.startswith("EXTRUDER"):
        return "hotend"
    return _KLIPPER_HEATERS.get(section)
