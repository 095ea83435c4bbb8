"""Printer profiles: TOML files in `printers/` below each search root, turned into `PrinterProfile`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from agent.domain.errors import ConfigError
from agent.domain.profile import HeaterLimits, PrinterProfile, Scripts
from agent.slicing.printer_document import GeometryTable, HeaterTable, ProfileDocument
from agent.slicing.profile_files import ProfileKind, find_file, list_files
from agent.toml_document import TomlDocument
from agent.toml_validation import validate


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
    return read_profile(find_file(ProfileKind.PRINTER, name, search))


def list_profiles(search: Sequence[Path]) -> list[ProfileEntry]:
    """Return every profile that can be named, sorted; one in an earlier root hides its namesakes."""
    found = list_files(ProfileKind.PRINTER, search)
    return [_entry(found[name]) for name in sorted(found)]


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
        scripts=_scripts(document),
        reach_mm=_reach(geometry),
        allow_commands=tuple(document.safety.allow_commands),
        square_corner_mm_s=motion.square_corner_mm_s,
        severities=dict(document.safety.findings),
    )


def _scripts(document: ProfileDocument) -> Scripts:
    """Return the scripts the printer service runs; `start` and `end` belong into sliced files."""
    names = {field.name for field in fields(Scripts)}
    return Scripts(
        **{name: tuple(lines) for name, lines in document.scripts.model_dump().items() if name in names}
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
