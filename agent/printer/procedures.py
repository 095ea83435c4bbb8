"""What the host itself sends around a print: park, resume, cancel, cool down. Pure: snapshots in, commands out."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

from agent.domain.printer import Temperature
from agent.domain.profile import PrinterProfile
from agent.gcode.modal import ModalState
from agent.printer.tracker import Tracked

COLD_C = 170.0
"""Below this Marlin refuses to extrude (EXTRUDE_MINTEMP): no retraction then."""
STAGES = ("starting", "salvaging", "pausing", "paused", "cancelling", "finishing")
TRAVEL_MM_MIN = 6000
LIFT_MM_MIN = 600


@dataclass(frozen=True, slots=True)
class PauseSnapshot:
    """Where a print stands while it is interrupted: last accepted line, and the position M114 reported there.

    `position` is empty until it was read; as long as it is, the head has not been moved away. `stage` is one of
    `STAGES`. `retracted_mm`: how much filament parking pulls back (None: as much as the profile says).
    """

    stage: str
    line: int
    position: dict[str, float] = field(default_factory=dict)
    retracted_mm: float | None = None

    def to_json(self) -> str:
        """As kept in the print's record."""
        kept: dict[str, object] = {"stage": self.stage, "line": self.line, "position": self.position}
        if self.retracted_mm is not None:
            kept["retracted_mm"] = self.retracted_mm
        return json.dumps(kept)

    @classmethod
    def from_json(cls, text: str | None) -> PauseSnapshot | None:
        """None when there is none or it is unreadable."""
        try:
            data = json.loads(text or "null")
            if data is None:
                return None
            position = {str(axis): float(value) for axis, value in data["position"].items()}
            retracted = data.get("retracted_mm")
            retracted_mm = None if retracted is None else float(retracted)
            snapshot = cls(str(data["stage"]), int(data["line"]), position, retracted_mm)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        figures = [*position.values(), snapshot.retracted_mm or 0.0]
        sound = snapshot.stage in STAGES and snapshot.line >= 0 and all(map(math.isfinite, figures))
        return snapshot if sound else None


def park(profile: PrinterProfile, position: dict[str, float], hotend: Temperature | None) -> list[str]:
    """Retract, lift and move aside, from wherever the head is."""
    if profile.scripts.pause:
        return _fill(profile.scripts.pause, profile, position)
    commands = []
    retract_mm = retraction_mm(profile, hotend)
    if retract_mm > 0:
        commands += ["M83", f"G1 E-{number(retract_mm)} F{number(profile.retract_speed_mm_s * 60)}"]
    return [*commands, *_lift(profile, position), *_aside(profile)]


def retraction_mm(profile: PrinterProfile, hotend: Temperature | None) -> float:
    """How much filament `park` pulls back: none out of a cold hotend, or one whose temperature nobody knows."""
    return profile.retract_mm if hotend is not None and hotend.actual >= COLD_C else 0.0


def unpark(
    profile: PrinterProfile, snapshot: PauseSnapshot, modal: ModalState, hotend: Temperature | None
) -> list[str]:
    """Heat up, return to the exact place, prime, and restore every mode the job had set."""
    position = snapshot.position
    commands = heat_commands(modal)
    if profile.scripts.resume:
        commands += _fill(profile.scripts.resume, profile, position)
    else:
        commands += ["G90"]
        if "X" in position and "Y" in position:
            commands.append(f"G1 X{number(position['X'])} Y{number(position['Y'])} F{TRAVEL_MM_MIN}")
        if "Z" in position:
            commands.append(f"G1 Z{number(position['Z'])} F{LIFT_MM_MIN}")
        warm = hotend_target(modal, hotend) >= COLD_C
        prime_mm = profile.retract_mm if snapshot.retracted_mm is None else snapshot.retracted_mm
        if warm and prime_mm > 0:
            speed = number(profile.retract_speed_mm_s * 60)
            commands += ["M83", f"G1 E{number(prime_mm)} F{speed}"]
    return [*commands, *restore_modes(modal, position)]


def restore_modes(modal: ModalState, position: dict[str, float]) -> list[str]:
    """Extruder position, distance modes, feedrate and fans as the job had them."""
    commands = []
    if "E" in position:
        commands.append(f"G92 E{number(position['E'])}")
    commands.append("M82" if modal.absolute_e else "M83")
    commands.append("G90" if modal.absolute_xyz else "G91")
    if modal.feedrate is not None:
        commands.append(f"G1 F{number(modal.feedrate)}")
    for index, speed in sorted(modal.fans.items()):
        channel = f" P{index}" if index else ""
        commands.append(f"M106{channel} S{number(speed)}" if speed > 0 else f"M107{channel}")
    return commands


def heat_commands(modal: ModalState) -> list[str]:
    """Set all targets the job had, then wait for them, bed first."""
    commands = []
    waits: list[str] = []
    for heater, target in sorted(modal.targets.items()):
        if target <= 0:
            continue
        if heater == "B":
            commands.append(f"M140 S{number(target)}")
            waits.insert(0, f"M190 S{number(target)}")
        elif heater == "C":
            commands.append(f"M141 S{number(target)}")
        else:
            commands.append(f"M104 {heater} S{number(target)}")
            waits.append(f"M109 {heater} S{number(target)}")
    return commands + waits


def hotend_target(modal: ModalState, hotend: Temperature | None) -> float:
    """What the active hotend is (to be) heated to."""
    target = modal.targets.get(f"T{modal.tool}", 0.0)
    return max(target, hotend.actual if hotend is not None else 0.0)


def cancelled(profile: PrinterProfile, position: dict[str, float], hotend: Temperature | None) -> list[str]:
    """Leave the part, switch everything off."""
    if profile.scripts.cancel:
        return [*_fill(profile.scripts.cancel, profile, position), *cool_down(profile)]
    return [*park(profile, position, hotend), *cool_down(profile), "M84"]


def finished(profile: PrinterProfile, tracked: Tracked, ejects: bool) -> list[str]:  # noqa: FBT001 - a setting
    """After a completed print: eject the part where the maker has taught the printer how, switch off what is on."""
    commands = _fill(profile.scripts.eject, profile, tracked.position) if ejects else []
    if any(reading.target > 0 for reading in tracked.temperatures.values()):
        commands += cool_down(profile)
    return commands


def nozzles_off(profile: PrinterProfile) -> list[str]:
    """All nozzle heaters off; the bed stays warm, so that a paused part stays on it."""
    return [f"M104 T{tool} S0" for tool in range(profile.extruders)] if profile.extruders > 1 else ["M104 S0"]


def scripts_of(profile: PrinterProfile) -> dict[str, list[str]]:
    """The maker's own scripts with their placeholders filled, by name: what the rules must allow."""
    scripts = profile.scripts
    named = {
        "pause": scripts.pause,
        "resume": scripts.resume,
        "cancel": scripts.cancel,
        "eject": scripts.eject,
    }
    return {name: _fill(script, profile, {}) for name, script in named.items() if script}


def cool_down(profile: PrinterProfile) -> list[str]:
    """All heaters and the part fan off."""
    commands = nozzles_off(profile)
    if profile.bed is not None:
        commands.append("M140 S0")
    if profile.chamber is not None:
        commands.append("M141 S0")
    return [*commands, "M107"]


def _lift(profile: PrinterProfile, position: dict[str, float]) -> list[str]:
    top = profile.volume_mm[2]
    lift = profile.park_lift_mm
    if "Z" in position:
        lift = min(lift, max(0.0, top - position["Z"]))
    return ["G91", f"G1 Z{number(lift)} F{LIFT_MM_MIN}", "G90"] if lift > 0 else ["G90"]


def _aside(profile: PrinterProfile) -> list[str]:
    x, y = profile.park_mm
    return [f"G1 X{number(x)} Y{number(y)} F{TRAVEL_MM_MIN}"]


def _fill(script: tuple[str, ...], profile: PrinterProfile, position: dict[str, float]) -> list[str]:
    values = {
        "x": number(position.get("X", 0.0)),
        "y": number(position.get("Y", 0.0)),
        "z": number(position.get("Z", 0.0)),
        "e": number(position.get("E", 0.0)),
        "park_x": number(profile.park_mm[0]),
        "park_y": number(profile.park_mm[1]),
        "lift": number(profile.park_lift_mm),
        "retract": number(profile.retract_mm),
        "retract_speed": number(profile.retract_speed_mm_s * 60),
    }
    return [line.format_map(values) for line in script]


def number(value: float) -> str:
    """Plain decimal, no exponent: firmware parsers know nothing else."""
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"
