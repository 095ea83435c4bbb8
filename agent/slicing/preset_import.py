"""A maker's PrusaSlicer settings as profiles: known keys into the neutral tables, harmless ones kept by name.

Nothing is taken over that could run a program or reach a host; scripts are translated line by line, and a line with a
macro that has no counterpart is left out and named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.domain.artefact import Severity
from agent.domain.errors import ConfigError
from agent.gcode.rules import Origin, judge
from agent.slicing.engine_keys import PRUSASLICER_KEYS, check_prusaslicer
from agent.slicing.material import MaterialDocument
from agent.slicing.printer_document import ProfileDocument
from agent.slicing.profiles import to_profile
from agent.slicing.quality import QualityDocument
from agent.slicing.script_text import SLICE_PLACEHOLDERS, check_script
from agent.toml_document import TomlDocument
from agent.toml_validation import validate

_MAX_SCRIPT_LINES = 100
_SCRIPT_WORDS = {
    "first_layer_temperature": "first_nozzle",
    "temperature": "nozzle",
    "first_layer_bed_temperature": "first_bed",
    "bed_temperature": "bed",
    "chamber_temperature": "chamber",
}
_MACRO = re.compile(r"[\[{]\s*(\w+)(?:\[(?:0|initial_extruder|initial_tool|current_extruder)\])?\s*[\]}]")
_FLAVOURS = {"marlin2": "marlin2", "marlin": "marlin", "reprapfirmware": "reprap", "klipper": "klipper"}
_FILLS = {"rectilinear": "lines", "line": "lines", "grid": "grid", "gyroid": "gyroid", "cubic": "cubic",
          "triangles": "triangles", "honeycomb": "honeycomb", "concentric": "concentric"}  # fmt: skip
_SEAMS = ("nearest", "aligned", "rear", "random")


@dataclass(slots=True)
class Imported:
    """One profile as tables, and what of the source is not in it."""

    document: dict[str, Any]
    left_out: list[str] = field(default_factory=list)


class _Source:
    """Settings read by key; remembers what was read."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.used: set[str] = set()

    def text(self, key: str) -> str | None:
        """Return the first entry of a value; lists have one entry per extruder."""
        value = self.settings.get(key)
        if value is None:
            return None
        self.used.add(key)
        return re.split(r"[,;]", value)[0].strip().strip('"')

    def number(self, key: str, whole: float | None = None) -> float | None:
        """Return a number; a percentage is one of `whole`, or the figure itself."""
        text = self.text(key)
        if not text or text == "nil":
            return None
        try:
            value = float(text.rstrip("%"))
        except ValueError:
            return None
        if not math.isfinite(value):
            return None
        return value * whole / 100 if text.endswith("%") and whole is not None else value

    def flag(self, key: str) -> bool | None:
        """Return a switch."""
        text = self.text(key)
        return None if text is None else text not in ("0", "", "false")


def import_printer(settings: Mapping[str, str], title: str) -> Imported:
    """Return a printer profile. ConfigError when the bed or the limits are missing."""
    source = _Source(settings)
    width, depth = _bed(settings.get("bed_shape", ""))
    source.used.add("bed_shape")
    height = source.number("max_print_height") or 0.0
    if not (width and depth and height):
        raise ConfigError(
            "bed_shape and max_print_height are needed to know the printer",
            remedy="export the printer's settings",
        )
    left_out: list[str] = []
    document: dict[str, Any] = {
        "title": title[:80],
        "geometry": {"volume_mm": [width, depth, height], "nozzle_mm": source.number("nozzle_diameter") or 0.4},
        # PrusaSlicer does not know what a hotend bears; these ceilings suit the most delicate ones.
        "heaters": {"hotend": {"max_c": 250}, "bed": {"max_c": 100}},
        "motion": _motion(source),
        "park": _some(
            position_mm=[0.0, depth], retract_mm=source.number("retract_length"),
            retract_speed_mm_s=source.number("retract_speed"),
        ),
        "slicing": _some(
            flavour=_FLAVOURS.get(source.text("gcode_flavor") or "", "marlin2"),
            retract_mm=source.number("retract_length"),
            retract_speed_mm_s=source.number("retract_speed"),
            lift_mm=source.number("retract_lift"),
        ),
        "scripts": {},
    }  # fmt: skip
    for key, name in (("start_gcode", "start"), ("end_gcode", "end")):
        lines, dropped = _script(settings.get(key, ""))
        source.used.add(key)
        left_out += [f"{key}: {line}" for line in dropped]
        if name == "start" and any(" E" in line for line in lines) and not {"M82", "M83"} & set(lines):
            # Written for firmware that counts absolutely until it is told otherwise; ours begin with M83.
            lines.insert(0, "M82")
        if lines:
            document["scripts"][name] = lines
    _drop_refused(document, left_out)
    return _finished(document, source, left_out, ProfileDocument)


def import_material(settings: Mapping[str, str], title: str) -> Imported:
    """Return a material. ConfigError when it has no temperature."""
    source = _Source(settings)
    nozzle = source.number("temperature")
    if not nozzle:
        raise ConfigError(
            "temperature is needed to know the material", remedy="export the filament's settings"
        )
    first = source.number("first_layer_temperature")
    family = re.sub(r"[^A-Z0-9+-]", "", (source.text("filament_type") or "PLA").upper())[:16] or "PLA"
    fans = sorted((source.number("min_fan_speed") or 0.0, source.number("max_fan_speed") or 0.0))
    flow = source.number("extrusion_multiplier")
    document = {
        "title": title[:80],
        "type": family,
        "temperatures": _some(
            nozzle_c=nozzle, first_nozzle_c=first, bed_c=source.number("bed_temperature"),
            first_bed_c=source.number("first_layer_bed_temperature"),
            chamber_c=source.number("chamber_temperature"),
            nozzle_min_c=min(nozzle, first or nozzle) - 15, nozzle_max_c=max(nozzle, first or nozzle) + 15,
        ),
        "filament": _some(
            density_g_cm3=source.number("filament_density") or 1.24,
            flow_percent=None if flow is None else round(100 * flow, 3),
            max_flow_mm3_s=source.number("filament_max_volumetric_speed") or None,
        ),
        "cooling": _some(
            fan_min_percent=fans[0], fan_max_percent=fans[1], bridge_percent=source.number("bridge_fan_speed"),
            off_layers=_whole(source.number("disable_fan_first_layers")),
            short_layer_s=source.number("slowdown_below_layer_time"),
            min_speed_mm_s=source.number("min_print_speed"),
        ),
    }  # fmt: skip
    return _finished(document, source, [], MaterialDocument)


def import_quality(settings: Mapping[str, str], title: str) -> Imported:
    """Return a quality. ConfigError when it has no layer height."""
    source = _Source(settings)
    height = source.number("layer_height")
    if not height:
        raise ConfigError("layer_height is needed to know the quality", remedy="export the print settings")
    inner = source.number("perimeter_speed")
    infill = source.number("infill_speed")
    solid = source.number("solid_infill_speed", infill)
    seam, fill = source.text("seam_position"), source.text("fill_pattern")
    brim = source.number("brim_width")
    threshold = source.number("support_material_threshold")
    document = {
        "title": title[:80],
        "layers": _some(height_mm=height, first_mm=source.number("first_layer_height", height)),
        "shell": _some(
            walls=_whole(source.number("perimeters")), top_layers=_whole(source.number("top_solid_layers")),
            bottom_layers=_whole(source.number("bottom_solid_layers")), seam=seam if seam in _SEAMS else None,
            min_thickness_mm=source.number("top_solid_min_thickness"),
            elephant_foot_mm=source.number("elefant_foot_compensation"),
        ),
        "infill": _some(percent=source.number("fill_density"), pattern=_FILLS.get(fill or "")),
        "speeds": _some(
            outer_wall_mm_s=source.number("external_perimeter_speed", inner) or None, inner_wall_mm_s=inner or None,
            infill_mm_s=infill or None, solid_mm_s=solid or None,
            top_mm_s=source.number("top_solid_infill_speed", solid) or None,
            bridge_mm_s=source.number("bridge_speed") or None,
            support_mm_s=source.number("support_material_speed") or None,
            first_layer_mm_s=source.number("first_layer_speed", inner) or None,
        ),
        "support": _some(
            enabled=source.flag("support_material"), overhang_deg=None if not threshold else 90 - threshold,
            from_bed_only=source.flag("support_material_buildplate_only"),
            gap_mm=source.number("support_material_contact_distance"),
        ),
        "adhesion": _some(
            kind="brim" if brim else None, brim_mm=brim or None, skirt_lines=_whole(source.number("skirts")),
            skirt_gap_mm=source.number("skirt_distance"),
        ),
    }  # fmt: skip
    return _finished(document, source, [], QualityDocument)


def _finished(
    document: dict[str, Any],
    source: _Source,
    left_out: list[str],
    model: type[ProfileDocument | MaterialDocument | QualityDocument],
) -> Imported:
    """Keep harmless settings by name, name the others, and have the whole validated."""
    kept: dict[str, str] = {}
    own = _KEYS_OF[model]
    for key, value in source.settings.items():
        if key in source.used or not own(key):
            continue
        try:
            check_prusaslicer(key, value)
        except ValueError:
            left_out.append(key)
        else:
            kept[key] = value
    document = {key: value for key, value in document.items() if value != {}}
    if kept:
        document["engine"] = {"prusaslicer": kept}
    validate(TomlDocument("imported settings", document, {}), model)
    return Imported(document, left_out)


def _motion(source: _Source) -> dict[str, Any]:
    limits: dict[str, dict[str, float]] = {"max_feedrate": {}, "max_acceleration": {}, "max_jerk": {}}
    for name, figures in limits.items():
        for axis in "xyze":
            value = source.number(f"machine_{name}_{axis}")
            if value:
                figures[axis] = value
    usual_speed = {"x": 200.0, "y": 200.0, "z": 12.0, "e": 60.0}
    usual_push = {"x": 1000.0, "y": 1000.0, "z": 200.0, "e": 5000.0}
    usual_jerk = {"x": 8.0, "y": 8.0, "z": 0.4, "e": 4.5}
    return {
        "max_speed_mm_s": usual_speed | limits["max_feedrate"],
        "max_acceleration_mm_s2": usual_push | limits["max_acceleration"],
        "jerk_mm_s": usual_jerk | limits["max_jerk"],
    }


def _bed(shape: str) -> tuple[float, float]:
    """Return width and depth of a bed with its corner at the origin."""
    points = re.findall(r"(-?[\d.]+)x(-?[\d.]+)", shape)
    try:
        xs, ys = [float(x) for x, _ in points], [float(y) for _, y in points]
    except ValueError:
        return 0.0, 0.0
    if not points or min(xs) < 0 or min(ys) < 0:
        return 0.0, 0.0
    return max(xs), max(ys)


def _script(text: str) -> tuple[list[str], list[str]]:
    """Return the commands of a PrusaSlicer script with our placeholders, and the lines that cannot be translated."""
    lines: list[str] = []
    dropped: list[str] = []
    for raw in text.strip('"').replace("\\n", "\n").splitlines():
        line = raw.split(";", 1)[0].strip()
        if not line:
            continue
        translated = _MACRO.sub(lambda found: f"{{{_SCRIPT_WORDS.get(found[1], found[0])}}}", line)
        try:
            check_script([translated], SLICE_PLACEHOLDERS)
        except ValueError:
            dropped.append(line[:80])
        else:
            lines.append(translated)
    return lines[:_MAX_SCRIPT_LINES], dropped


def _drop_refused(document: dict[str, Any], left_out: list[str]) -> None:
    """Leave out script lines that the gate would refuse in every sliced file."""
    probe = {key: value for key, value in document.items() if key != "scripts"}
    profile = to_profile("imported", validate(TomlDocument("imported settings", probe, {}), ProfileDocument))
    for name, lines in document["scripts"].items():
        kept: list[str] = []
        for line in lines:
            verdict = judge(re.sub(r"\{\w+\}", "0", line), profile, "marlin", origin=Origin.JOB)
            if any(finding.severity is Severity.ERROR for finding in verdict.findings):
                left_out.append(f"{name} script: {line}")
            else:
                kept.append(line)
        document["scripts"][name] = kept


def _some(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


_MACHINE = re.compile(
    r"machine_|bed_|retract|deretract|nozzle_|gcode_flavor|start_gcode|end_gcode|printer_|host_"
)
_FILAMENT = re.compile(
    r"filament_|temperature|fan|cooling|slowdown|extrusion_multiplier|min_print_speed|full_fan"
)


def _is_machine_key(key: str) -> bool:
    return _MACHINE.match(key) is not None or key.startswith(("print_host", "printhost"))


def _is_filament_key(key: str) -> bool:
    return _FILAMENT.search(key) is not None


def _is_print_key(key: str) -> bool:
    is_known = key in PRUSASLICER_KEYS or key in ("post_process", "output_filename_format")
    return is_known and not _is_machine_key(key) and not _is_filament_key(key)


_KEYS_OF = {
    ProfileDocument: _is_machine_key,
    MaterialDocument: _is_filament_key,
    QualityDocument: _is_print_key,
}
