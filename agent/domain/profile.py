"""The printer profile: what this machine is and what it may be asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HeaterLimits:
    """Bounds for one heater in degrees Celsius; `max_c` is never exceeded from any source."""

    max_c: float
    min_rise_c: float = 2.0
    rise_window_s: float = 40.0
    fall_tolerance_c: float = 15.0


@dataclass(frozen=True, slots=True)
class Scripts:
    """G-code of this unit, one command per entry; the printer service fills placeholders in braces."""

    pause: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    cancel: tuple[str, ...] = ()
    cooldown: tuple[str, ...] = ()
    eject: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrinterProfile:
    """A printer: geometry in millimetres, speeds in mm/s, accelerations in mm/s², temperatures in °C.

    `reach_mm` is how far the nozzle can travel per axis (min, max), where that is more than the volume (purge lines,
    parking). `allow_commands` are words beyond the gate's list that the owner of this unit trusts. Of `jerk_mm_s` (by
    axis), `junction_deviation_mm` and `square_corner_mm_s` (Klipper) one at most is given: how corners are taken.
    `severities`: finding id → severity where the owner thinks otherwise than the gate.
    """

    name: str
    title: str
    digest: str
    volume_mm: tuple[float, float, float]
    nozzle_mm: float
    extruders: int
    hotend: HeaterLimits
    bed: HeaterLimits | None
    chamber: HeaterLimits | None
    max_speed_mm_s: dict[str, float] = field(default_factory=dict)
    max_acceleration_mm_s2: dict[str, float] = field(default_factory=dict)
    jerk_mm_s: dict[str, float] = field(default_factory=dict)
    junction_deviation_mm: float | None = None
    park_mm: tuple[float, float] = (0.0, 0.0)
    park_lift_mm: float = 10.0
    retract_mm: float = 2.0
    retract_speed_mm_s: float = 35.0
    bauds: tuple[int, ...] = (115200, 250000)
    dialect: str = "auto"
    idle_timeout_s: float = 600.0
    ejects: bool = False
    window_lines: int | None = None
    window_bytes: int | None = None
    scripts: Scripts = Scripts()
    reach_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] | None = None
    allow_commands: tuple[str, ...] = ()
    square_corner_mm_s: float | None = None
    severities: dict[str, str] = field(default_factory=dict)
