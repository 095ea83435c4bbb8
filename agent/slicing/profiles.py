"""Printer profiles: TOML files in `printers/` below each search root, turned into `PrinterProfile`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from agent.dialect_name import DIALECT_NAMES, DialectName
from agent.domain.errors import ConfigError, NotFoundError
from agent.domain.profile import HeaterLimits, PrinterProfile, Scripts
from agent.slicing.script_text import check_script
from agent.toml_document import TomlDocument, nearest
from agent.toml_validation import StrictModel, validate

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
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

    @model_validator(mode="after")
    def _check_corner_rule(self) -> MotionTable:
        if self.jerk_mm_s is not None and self.junction_deviation_mm is not None:
            raise ValueError("a firmware uses either jerk_mm_s or junction_deviation_mm, not both")
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

    @field_validator("allow_commands")
    @classmethod
    def _check_commands(cls, value: list[str]) -> list[str]:
        for word in value:
            if not _COMMAND.fullmatch(word):
                raise ValueError(f"{word!r} is no command word; write it in capitals, without parameters")
            if word in NEVER_ALLOWED:
                raise ValueError(f"{word} cannot be allowed: its rule holds for everybody")
        return value


class ScriptsTable(StrictModel):
    """`[scripts]`: G-code of this unit, one command per entry; an absent script is composed by the daemon."""

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


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """A profile that can be named: where it is, and what is wrong with it when it cannot be used."""

    name: str
    path: Path
    title: str
    error: str = ""


def load_profile(name: str, search: Sequence[Path]) -> PrinterProfile:
    """Return the printer profile `name` of the first root that has it.

    `search` are roots that hold `printers/` (see `agent.paths.profiles_dirs`). NotFoundError names the known ones,
    ConfigError the file, line and key.
    """
    if _NAME.fullmatch(name):
        for root in search:
            path = root / "printers" / f"{name}.toml"
            if path.is_file():
                return read_profile(path)
    known = [entry.name for entry in list_profiles(search)]
    meant = nearest(name, known)
    hint = f", did you mean {meant!r}?" if meant else ""
    raise NotFoundError(
        f"no printer profile {name!r}{hint}",
        code="profile_not_found",
        remedy=f"known: {', '.join(known) or 'none'}; searched: {', '.join(str(root) for root in search)}",
    )


def list_profiles(search: Sequence[Path]) -> list[ProfileEntry]:
    """Return every profile that can be named, sorted; one in an earlier root hides its namesakes."""
    found: dict[str, ProfileEntry] = {}
    for root in search:
        directory = root / "printers"
        for path in sorted(directory.glob("*.toml")) if directory.is_dir() else []:
            if _NAME.fullmatch(path.stem) and path.stem not in found:
                found[path.stem] = _entry(path)
    return [found[name] for name in sorted(found)]


def read_profile(path: Path) -> PrinterProfile:
    """Return the profile in one file, named after the file; ConfigError names file, line and key."""
    return to_profile(path.stem, validate(TomlDocument.read(path), ProfileDocument))


def to_profile(name: str, document: ProfileDocument) -> PrinterProfile:
    """Return the validated document as the value the rest of the agent knows."""
    geometry, motion, park = document.geometry, document.motion, document.park
    width, depth, height = geometry.volume_mm
    return PrinterProfile(
        name=name,
        title=document.title,
        digest=document.digest,
        volume_mm=(width, depth, height),
        nozzle_mm=geometry.nozzle_mm,
        extruders=geometry.extruders,
        hotend=_limits(document.heaters.hotend),
        bed=_limits(document.heaters.bed) if document.heaters.bed else None,
        chamber=_limits(document.heaters.chamber) if document.heaters.chamber else None,
        max_speed_mm_s=motion.max_speed_mm_s.as_dict(),
        max_acceleration_mm_s2=motion.max_acceleration_mm_s2.as_dict(),
        jerk_mm_s=motion.jerk_mm_s.as_dict() if motion.jerk_mm_s else {},
        junction_deviation_mm=motion.junction_deviation_mm,
        park_mm=(park.position_mm[0], park.position_mm[1]),
        park_lift_mm=park.lift_mm,
        retract_mm=park.retract_mm,
        retract_speed_mm_s=park.retract_speed_mm_s,
        bauds=tuple(document.connection.bauds),
        dialect=document.connection.dialect,
        idle_timeout_s=document.safety.idle_timeout_s,
        ejects=document.safety.ejects,
        window_lines=document.connection.window_lines,
        window_bytes=document.connection.window_bytes,
        scripts=Scripts(**{key: tuple(lines) for key, lines in document.scripts.model_dump().items()}),
        reach_mm=_reach(geometry),
        allow_commands=tuple(document.safety.allow_commands),
    )


def _entry(path: Path) -> ProfileEntry:
    try:
        return ProfileEntry(path.stem, path, read_profile(path).title)
    except ConfigError as error:
        return ProfileEntry(path.stem, path, "", error.message)


def _limits(table: HeaterTable) -> HeaterLimits:
    return HeaterLimits(table.max_c, table.min_rise_c, table.rise_window_s, table.fall_tolerance_c)


def _reach(
    geometry: GeometryTable,
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]] | None:
    given = (geometry.reach_x_mm, geometry.reach_y_mm, geometry.reach_z_mm)
    if all(axis is None for axis in given):
        return None
    x, y, z = (
        (axis[0], axis[1]) if axis else (0.0, size)
        for axis, size in zip(given, geometry.volume_mm, strict=True)
    )
    return x, y, z
