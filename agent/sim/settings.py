"""What can be set and read back: tuning values, the lines of M503, and the print timer.

The layouts are those of Marlin bugfix-2.1.x (2025-01-28, on the wire), 2.0.5.3 (its sources) and 1.1.9 (user logs).
Only what the motion model needs has an effect; the rest is kept so that it can be read back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from agent.sim.builds import Feature

if TYPE_CHECKING:
    from agent.sim.board import Board


EEPROM_FACTS = "(637 bytes; crc 58123)"  # of an EEPROM whose contents are not modelled


class SettingsStyle(StrEnum):
    """Whose words settings are reported in."""

    MARLIN_21 = "marlin-2.1"
    MARLIN_20 = "marlin-2.0"
    MARLIN_11 = "marlin-1.1"
    PRUSA = "prusa"
    NONE = "none"  # no M503, and settings commands without a value say nothing


@dataclass(slots=True)
class Tuning:
    """Values without effect on the model, as Marlin's default configuration has them."""

    hotend_pid: list[float] = field(default_factory=lambda: [22.2, 1.08, 114.0])
    bed_pid: list[float] = field(default_factory=lambda: [10.0, 0.02, 305.4])
    home_offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    debug_flags: int = 0


class Setting(NamedTuple):
    """One line of M503: the heading above it ("" for none), its text with fields, and what the build needs."""

    heading: str
    text: str
    feature: Feature | None = None


_PID = "P{pid[0]:.2f} I{pid[1]:.2f} D{pid[2]:.2f}"
_BED_PID = "P{bed[0]:.2f} I{bed[1]:.2f} D{bed[2]:.2f}"
_AXES = "X{0}[0]:.2f}} Y{0}[1]:.2f}} Z{0}[2]:.2f}} E{0}[3]:.2f}}"
_M92, _M203, _M201 = (
    f"{code} " + _AXES.format("{" + name)
    for code, name in (("M92", "steps"), ("M203", "speed"), ("M201", "push"))
)
_M204 = "M204 P{print:.2f} R{retract:.2f} T{travel:.2f}"
_M205 = "M205 B{segment:.2f} S0.00 T0.00 J{junction:.2f}"
_M206 = "M206 X{home[0]:.2f} Y{home[1]:.2f} Z{home[2]:.2f}"

_MARLIN_21 = (
    Setting("; Linear Units:", " G21 ; (mm)"),
    Setting("; Temperature Units:", " M149 C ; Units in Celsius"),
    Setting("; Filament settings (Disabled):", " M200 S0 D1.75"),
    Setting("; Steps per unit:", f" {_M92}"),
    Setting("; Max feedrates (units/s):", f" {_M203}"),
    Setting("; Max Acceleration (units/s2):", f" {_M201}"),
    Setting("; Acceleration (units/s2) (P<print-accel> R<retract-accel> T<travel-accel>):", f" {_M204}"),
    Setting(
        "; Advanced (B<min_segment_time_us> S<min_feedrate> T<min_travel_feedrate> J<junc_dev>):", f" {_M205}"
    ),
    Setting("; Home offset:", f" {_M206}"),
    Setting("; Auto Bed Leveling:", " M420 S0 Z0.00 ; Leveling OFF", Feature.LEVELING),
    Setting("; Material heatup parameters:", " M145 S0 H180.00 B70.00 F0", Feature.DISPLAY),
    Setting("; Material heatup parameters:", " M145 S1 H240.00 B110.00 F0", Feature.DISPLAY),
    Setting("; Hotend PID:", f" M301 {_PID}"),
    Setting("; Bed PID:", f" M304 {_BED_PID}", Feature.BED_PID),
    Setting("; Linear Advance:", " M900 K0.00", Feature.LINEAR_ADVANCE),
    Setting("; Z-Probe Offset:", " M851 X10.00 Y10.00 Z0.00 ; (mm)", Feature.PROBE),
)

_MARLIN_20 = (
    Setting("", " G21    ; Units in mm (mm)"),
    Setting("; Filament settings: Disabled", " M200 D1.75"),
    Setting("", " M200 D0"),
    Setting("; Steps per unit:", _M92),
    Setting("; Maximum feedrates (units/s):", f" {_M203}"),
    Setting("; Maximum Acceleration (units/s2):", f" {_M201}"),
    Setting("; Acceleration (units/s2): P<print_accel> R<retract_accel> T<travel_accel>", f" {_M204}"),
    Setting(
        "; Advanced: B<min_segment_time_us> S<min_feedrate> T<min_travel_feedrate> J<junc_dev>", f" {_M205}"
    ),
    Setting("; Home offset:", f" {_M206}"),
    Setting("; Auto Bed Leveling:", " M420 S0 Z0.00", Feature.LEVELING),
    Setting("; Material heatup parameters:", " M145 S0 H180 B70 F0", Feature.DISPLAY),
    Setting("", " M145 S1 H240 B110 F0", Feature.DISPLAY),
    Setting("; PID settings:", f" M301 {_PID}"),
    Setting("", f" M304 {_BED_PID}", Feature.BED_PID),
    Setting("; Z-Probe Offset (mm):", " M851 X10.00 Y10.00 Z0.00", Feature.PROBE),
    Setting("; Linear Advance:", " M900 K0.00", Feature.LINEAR_ADVANCE),
)

_MARLIN_11 = (
    Setting("", " G21    ; Units in mm"),
    Setting("Filament settings: Disabled", " M200 D1.75"),
    Setting("", " M200 D0"),
    Setting("Steps per unit:", f" {_M92}"),
    Setting("Maximum feedrates (units/s):", f" {_M203}"),
    Setting("Maximum Acceleration (units/s2):", f" {_M201}"),
    Setting("Acceleration (units/s2): P<print_accel> R<retract_accel> T<travel_accel>", f" {_M204}"),
    Setting(
        (
            "Advanced: Q<min_segment_time_us> S<min_feedrate> T<min_travel_feedrate> "
            "X<max_x_jerk> Y<max_y_jerk> Z<max_z_jerk> E<max_e_jerk>"
        ),
        " M205 Q{segment:.0f} S0.00 T0.00 X10.00 Y10.00 Z0.30 E5.00",
    ),
    Setting("Home offset:", f" {_M206}"),
    Setting("PID settings:", f" M301 {_PID}"),
)

_LINES: dict[SettingsStyle, tuple[Setting, ...]] = {
    SettingsStyle.MARLIN_21: _MARLIN_21,
    SettingsStyle.MARLIN_20: _MARLIN_20,
    SettingsStyle.MARLIN_11: _MARLIN_11,
    SettingsStyle.PRUSA: _MARLIN_11,
    SettingsStyle.NONE: (),
}


def _values(board: Board) -> dict[str, object]:
    limits, tuning = board.motion.limits, board.tuning
    return {
        "steps": limits.steps_per_mm,
        "speed": limits.max_speed,
        "push": limits.max_acceleration,
        "print": limits.print_acceleration,
        "retract": limits.retract_acceleration,
        "travel": limits.travel_acceleration,
        "segment": limits.min_segment_s * 1e6,
        "junction": limits.junction_deviation,
        "home": tuning.home_offset,
        "pid": tuning.hotend_pid,
        "bed": tuning.bed_pid,
    }


def all_lines(board: Board, *, comments: bool = True) -> list[str]:
    """M503 and the dump at boot; without comments (M503 S0) headings and `echo:` are left out."""
    values = _values(board)
    lines = []
    for setting in _LINES[board.dialect.settings_style]:
        if setting.feature is not None and setting.feature not in board.features:
            continue
        if comments and setting.heading:
            lines.append(f"echo:{setting.heading}")
        lines.append(("echo: " if comments else " ") + setting.text.format(**values))
    return lines


def lines_of(board: Board, code: str) -> list[str]:
    """What M503 has about one command, in the bare form in which the command itself reports it."""
    values = _values(board)
    return [
        f" {setting.text}".format(**values)
        for setting in _LINES[board.dialect.settings_style]
        if setting.text.split()[0] == code
    ]


class PrintTimer:
    """Marlin's print job timer: M75 starts, M76 pauses, M77 stops it, M31 reads it. Seconds of the clock."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._sum_s = 0.0
        self._paused = False

    def start(self, now: float) -> None:
        """Start anew, or go on after a pause; nothing while it runs."""
        if self._since is None:
            if not self._paused:
                self._sum_s = 0.0
            self._since, self._paused = now, False

    def pause(self, now: float) -> None:
        """Hold it, if it runs."""
        if self._since is not None:
            self._halt(now)
            self._paused = True

    def stop(self, now: float) -> None:
        """End the print; the time stays readable."""
        self._halt(now)
        self._paused = False

    def elapsed_s(self, now: float) -> float:
        """Time counted so far."""
        return self._sum_s + (now - self._since if self._since is not None else 0.0)

    def _halt(self, now: float) -> None:
        self._sum_s, self._since = self.elapsed_s(now), None


def duration(seconds: float) -> str:
    """A duration in Marlin's form: "1d 2h 3m 4s" without leading zero parts."""
    rest = int(seconds)
    parts: list[str] = []
    for letter, size in (("y", 31536000), ("d", 86400), ("h", 3600), ("m", 60)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{letter}")
    return " ".join([*parts, f"{rest}s"])
