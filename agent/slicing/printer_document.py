"""The TOML schema of a printer profile: what a machine is, may be asked to do, and how it is sliced for."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from agent.dialect_name import DIALECT_NAMES, DialectName
from agent.gcode.finding_ids import check_severity
from agent.slicing.engine_keys import EngineTable
from agent.slicing.figures import Celsius, FlowPercent, MeltedRate, RetractLength
from agent.slicing.script_text import SLICE_PLACEHOLDERS, check_script
from agent.toml_validation import StrictModel

_COMMAND = re.compile(r"[GMT]\d{1,4}|[A-Z_][A-Z0-9_]{1,63}")
# These stop, reprogram or unguard the machine whoever asks; no profile can let a job file send them.
NEVER_ALLOWED = frozenset({
    "M108", "M110", "M112", "M410", "M876", "M997", "M999", "M302", "M303", "M28", "M928",
    "M104", "M109", "M140", "M190", "M141", "M191", "RUN_SHELL_COMMAND", "SET_HEATER_TEMPERATURE",
})  # fmt: skip

Length = Annotated[float, Field(gt=0, le=3000, allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=-1000, le=3000, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
AxisRange = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
MaterialName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Script = Annotated[list[str], Field(max_length=100)]


class GeometryTable(StrictModel):
    """`[geometry]`: the printable volume, what lies around it, and the nozzle."""

    volume_mm: list[Length] = Field(
        min_length=3, max_length=3, description="printable width, depth and height: three numbers in mm"
    )
    nozzle_mm: float = Field(default=0.4, gt=0, le=5, description="diameter of the nozzle in mm, up to 5")
    extruders: int = Field(default=1, ge=1, le=16, description="number of tools T0, T1, ..., 1 to 16")
    reach_x_mm: AxisRange | None = Field(
        default=None, description="[min, max] the nozzle can travel in X, in mm"
    )
    reach_y_mm: AxisRange | None = Field(
        default=None, description="[min, max] the nozzle can travel in Y, in mm"
    )
    reach_z_mm: AxisRange | None = Field(
        default=None, description="[min, max] the nozzle can travel in Z, in mm"
    )

    @model_validator(mode="after")
    def _check_reach(self) -> GeometryTable:
        for axis, size in zip("xyz", self.volume_mm, strict=True):
            reach = getattr(self, f"reach_{axis}_mm")
            if reach is not None and not (reach[0] <= 0 and size <= reach[1]):
                raise ValueError(f"reach_{axis}_mm must contain the whole volume, 0 to {size:g}")
        return self


class HeaterTable(StrictModel):
    """One heater: the ceiling that no source may exceed, and how it behaves when it works."""

    max_c: float = Field(gt=0, le=600, description="highest target in °C that is ever sent, up to 600")
    min_rise_c: float = Field(
        default=2.0,
        gt=0,
        le=50,
        strict=False,
        description="least rise in °C within rise_window_s while heating",
    )
    rise_window_s: float = Field(
        default=40.0,
        ge=5,
        le=600,
        strict=False,
        description="seconds after which a rise must be seen, 5 to 600",
    )
    fall_tolerance_c: float = Field(
        default=15.0,
        ge=3,
        le=100,
        strict=False,
        description="°C below the reached target that are a fault, 3 to 100",
    )


class HeatersTable(StrictModel):
    """`[heaters]`: what can be heated."""

    hotend: HeaterTable = Field(description="a table with max_c")
    bed: HeaterTable | None = Field(default=None, description="a table with max_c; absent: no heated bed")
    chamber: HeaterTable | None = Field(
        default=None, description="a table with max_c; absent: no heated chamber"
    )


class AxisRates(StrictModel):
    """One figure per axis."""

    x: Rate = Field(description="a number above 0")
    y: Rate = Field(description="a number above 0")
    z: Rate = Field(description="a number above 0")
    e: Rate = Field(description="a number above 0")

    def as_dict(self) -> dict[str, float]:
        """Return the figures by lower-case axis letter."""
        return {"x": self.x, "y": self.y, "z": self.z, "e": self.e}


class MotionTable(StrictModel):
    """`[motion]`: the limits the firmware plans with."""

    max_speed_mm_s: AxisRates = Field(description="a table with x, y, z, e in mm/s")
    max_acceleration_mm_s2: AxisRates = Field(description="a table with x, y, z, e in mm/s²")
    jerk_mm_s: AxisRates | None = Field(
        default=None, description="a table with x, y, z, e in mm/s (classic jerk)"
    )
    junction_deviation_mm: float | None = Field(
        default=None, gt=0, le=1, description="mm, up to 1; instead of jerk_mm_s"
    )
    square_corner_mm_s: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="mm/s through a right-angled corner (Klipper), up to 100; instead of jerk_mm_s",
    )

    @model_validator(mode="after")
    def _check_corner_rule(self) -> MotionTable:
        rules = (self.jerk_mm_s, self.junction_deviation_mm, self.square_corner_mm_s)
        if sum(rule is not None for rule in rules) > 1:
            raise ValueError(
                "a firmware uses one of jerk_mm_s, junction_deviation_mm and square_corner_mm_s, not both"
            )
        return self


class ParkTable(StrictModel):
    """`[park]`: where the nozzle waits during a pause."""

    position_mm: list[Coordinate] = Field(
        default=[0.0, 0.0], min_length=2, max_length=2, description="[x, y] in mm, within reach"
    )
    lift_mm: float = Field(default=10.0, ge=0, le=200, description="mm above the part, 0 to 200")
    retract_mm: float = Field(default=2.0, ge=0, le=20, description="mm of filament, 0 to 20")
    retract_speed_mm_s: float = Field(default=35.0, gt=0, le=200, description="mm/s, up to 200")


class ConnectionTable(StrictModel):
    """`[connection]`: what is known about the firmware's serial side."""

    bauds: list[Annotated[int, Field(ge=1200, le=4_000_000)]] = Field(
        default=[115200, 250000], min_length=1, max_length=10, description="rates to try, most likely first"
    )
    dialect: DialectName = Field(default="auto", description=DIALECT_NAMES)
    window_lines: int | None = Field(default=None, ge=1, le=64, description="most lines in flight, 1 to 64")
    window_bytes: int | None = Field(
        default=None, ge=96, le=4096, description="most bytes in flight, 96 to 4096"
    )


class SafetyTable(StrictModel):
    """`[safety]`: what happens without a person, and what the gate lets through beyond its own list."""

    idle_timeout_s: float = Field(
        default=600.0,
        ge=30,
        le=86_400,
        strict=False,
        description="seconds until idle heaters go off, 30 to 86400",
    )
    ejects: bool = Field(default=False, description="true when scripts.eject is proven to clear the bed")
    allow_commands: list[str] = Field(
        default=[], max_length=100, description="further words jobs may use, such as 'M280' or 'START_PRINT'"
    )

    findings: dict[str, Literal["error", "warning", "info"]] = Field(
        default={},
        max_length=50,
        description="severity of findings of the gate on this machine, such as { heaters_left_on = 'error' }",
    )

    @field_validator("findings")
    @classmethod
    def _check_findings(cls, value: dict[str, str]) -> dict[str, str]:
        for identity, severity in value.items():
            check_severity(identity, severity)
        return value

    @field_validator("allow_commands")
    @classmethod
    def _check_commands(cls, value: list[str]) -> list[str]:
        for word in value:
            if not _COMMAND.fullmatch(word):
                raise ValueError(f"{word!r} is no command word; write it in capitals, without parameters")
            if word in NEVER_ALLOWED:
                raise ValueError(f"{word} cannot be allowed: its rule holds for everybody")
        return value


class SlicingTable(StrictModel):
    """`[slicing]`: what a slicer must know about this machine beyond its limits."""

    flavour: Literal["marlin2", "marlin", "reprap", "klipper"] = Field(
        default="marlin2",
        description="how accelerations are written: 'marlin2' (M204 P R T), 'marlin' (M204 S T), 'reprap', 'klipper'",
    )
    sets_limits: bool = Field(
        default=True,
        description="true: a sliced print begins with M201, M203 and M205 of [motion]; false for Klipper",
    )
    filament_mm: float = Field(
        default=1.75, ge=1, le=4, strict=False, description="filament diameter in mm, usually 1.75 or 2.85"
    )
    retract_mm: RetractLength | None = Field(default=None, description="mm of filament; absent: as in [park]")
    retract_speed_mm_s: float | None = Field(
        default=None, gt=0, le=200, strict=False, description="mm/s; absent: as in [park]"
    )
    lift_mm: float = Field(
        default=0.0, ge=0, le=5, strict=False, description="mm of lift while travelling, 0 to 5"
    )
    max_flow_mm3_s: MeltedRate = Field(default=10.0, description="most the hotend melts in mm³/s, up to 100")
    speed_percent: float = Field(
        default=100.0,
        ge=10,
        le=500,
        strict=False,
        description="printing speeds of the qualities in percent, 10 to 500",
    )
    acceleration_mm_s2: float = Field(
        default=1000.0, ge=50, le=20_000, strict=False, description="while printing, mm/s², 50 to 20000"
    )
    travel_speed_mm_s: float = Field(
        default=150.0, ge=10, le=1000, strict=False, description="mm/s, 10 to 1000"
    )
    margin_mm: float = Field(
        default=2.0, ge=0, le=100, strict=False, description="mm kept free around the part, 0 to 100"
    )


class MaterialOverride(StrictModel):
    """`[materials.NAME]`: what this machine does differently with one material."""

    nozzle_c: Celsius | None = Field(default=None, description="°C")
    first_nozzle_c: Celsius | None = Field(default=None, description="°C")
    bed_c: Celsius | None = Field(default=None, description="°C")
    first_bed_c: Celsius | None = Field(default=None, description="°C")
    chamber_c: Celsius | None = Field(default=None, description="°C")
    flow_percent: FlowPercent | None = Field(default=None, description="50 to 150")
    max_flow_mm3_s: MeltedRate | None = Field(default=None, description="mm³/s")
    retract_mm: RetractLength | None = Field(default=None, description="mm of filament")


class ScriptsTable(StrictModel):
    """`[scripts]`: G-code of this unit, one command per entry; an absent script is composed by the daemon."""

    start: Script = Field(
        default=[],
        description="commands before a sliced print, such as ['M109 S{first_nozzle}']; absent: heat and home",
    )
    end: Script = Field(
        default=[], description="commands after a sliced print; absent: park, heaters and motors off"
    )
    pause: Script = Field(
        default=[], description="a list of commands, such as ['G1 X{park_x} Y{park_y} F6000']"
    )
    resume: Script = Field(default=[], description="a list of commands")
    cancel: Script = Field(default=[], description="a list of commands")
    cooldown: Script = Field(default=[], description="a list of commands")
    eject: Script = Field(default=[], description="a list of commands")

    @field_validator("pause", "resume", "cancel", "cooldown", "eject")
    @classmethod
    def _check_lines(cls, value: list[str]) -> list[str]:
        check_script(value)
        return value

    @field_validator("start", "end")
    @classmethod
    def _check_slice_lines(cls, value: list[str]) -> list[str]:
        check_script(value, SLICE_PLACEHOLDERS)
        return value


class ProfileDocument(StrictModel):
    """A whole printer profile as it stands in the file."""

    title: str = Field(min_length=1, max_length=80, description="text for people, 1 to 80 characters")
    geometry: GeometryTable = Field(description="a table with volume_mm")
    heaters: HeatersTable = Field(description="a table with hotend")
    motion: MotionTable = Field(description="a table with max_speed_mm_s and max_acceleration_mm_s2")
    park: ParkTable = Field(default_factory=ParkTable, description="a table")
    connection: ConnectionTable = Field(default_factory=ConnectionTable, description="a table")
    safety: SafetyTable = Field(default_factory=SafetyTable, description="a table")
    scripts: ScriptsTable = Field(default_factory=ScriptsTable, description="a table")
    slicing: SlicingTable = Field(default_factory=SlicingTable, description="a table")
    materials: dict[MaterialName, MaterialOverride] = Field(
        default={}, max_length=50, description="tables by the name of a material"
    )
    engine: EngineTable = Field(default_factory=EngineTable, description="a table")

    @model_validator(mode="after")
    def _check_eject(self) -> ProfileDocument:
        if self.safety.ejects and not self.scripts.eject:
            raise ValueError("safety.ejects = true needs the commands in scripts.eject")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the validated content; comments and layout do not count."""
        text = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
        )
        return hashlib.sha256(text.encode("ascii")).hexdigest()
