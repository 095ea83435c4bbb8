"""A maker's PrusaSlicer settings as profiles: known keys into the neutral tables, harmless ones kept by name.

Nothing is taken over that could run a program or reach a host; scripts are translated line by line, and a line with a
macro that has no counterpart is left out and named.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.domain.artefact import Severity
from agent.domain.errors import ConfigError
from agent.gcode.rules import Origin, judge
from agent.slicing.engine_keys import PRUSASLICER_KEYS, check_prusaslicer
from agent.slicing.figures import MOST_C
from agent.slicing.material import MaterialDocument
from agent.slicing.preset_values import SETTINGS_ABSENT, Figure, ImportedTables, PresetValues
from agent.slicing.printer_document import ProfileDocument
from agent.slicing.profiles import to_profile
from agent.slicing.quality import QualityDocument
from agent.slicing.script_text import SLICE_PLACEHOLDERS, check_script
from agent.toml_validation import validate

_MAX_SCRIPT_LINES = 100
_WINDOW_C = 15.0  # a filament's window is not in PrusaSlicer's files: this far around what it is printed at
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


def import_printer(settings: Mapping[str, str], title: str) -> Imported:
    """Return a printer profile. ConfigError for a bad value, with SETTINGS_ABSENT where no printer is described."""
    source = PresetValues(settings)
    bed, height = source.bed(), source.above_zero("max_print_height", "a height in mm above 0")
    if bed is None or height is None:
        raise _absent(settings, "printer", "bed_shape", "max_print_height")
    width, depth = bed
    nozzle_mm = source.above_zero("nozzle_diameter", "a diameter in mm above 0")
    flavour = source.text("gcode_flavor")
    left_out = _unknown("gcode_flavor", flavour, _FLAVOURS)
    document: dict[str, Any] = {
        "title": title[:80],
        "geometry": {"volume_mm": [width, depth, height], "nozzle_mm": nozzle_mm or 0.4},
        # PrusaSlicer does not know what a hotend bears; these ceilings suit the most delicate ones.
        "heaters": {"hotend": {"max_c": 250}, "bed": {"max_c": 100}},
        "motion": _motion(source),
        "park": _some(
            position_mm=[0.0, depth], retract_mm=source.number("retract_length"),
            retract_speed_mm_s=source.number("retract_speed"),
        ),
        "slicing": _some(
            flavour=_FLAVOURS.get(flavour or "", "marlin2"),
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
    """Return a material. ConfigError for a bad value, with SETTINGS_ABSENT where no filament is described."""
    source = PresetValues(settings)
    nozzle = source.above_zero("temperature", "°C above 0")
    if nozzle is None:
        raise _absent(settings, "material", "temperature")
    first = source.number("first_layer_temperature", "°C") or None
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
            nozzle_min_c=_beside(min(nozzle, first or nozzle), -_WINDOW_C),
            nozzle_max_c=_beside(max(nozzle, first or nozzle), _WINDOW_C),
        ),
        "filament": _some(
            density_g_cm3=source.number("filament_density") or 1.24,
            flow_percent=None if flow is None else flow.turned_into(round(100 * flow, 3)),
            max_flow_mm3_s=source.number("filament_max_volumetric_speed") or None,
        ),
        "cooling": _some(
            fan_min_percent=fans[0], fan_max_percent=fans[1], bridge_percent=source.number("bridge_fan_speed"),
            off_layers=source.count("disable_fan_first_layers"),
            short_layer_s=source.number("slowdown_below_layer_time"),
            min_speed_mm_s=source.number("min_print_speed"),
        ),
    }  # fmt: skip
    return _finished(document, source, [], MaterialDocument)


def import_quality(settings: Mapping[str, str], title: str) -> Imported:
    """Return a quality. ConfigError for a bad value, with SETTINGS_ABSENT where no print is described."""
    source = PresetValues(settings)
    height = source.above_zero("layer_height", "a height in mm above 0")
    if height is None:
        raise _absent(settings, "quality", "layer_height")
    inner = source.number("perimeter_speed")
    infill = source.number("infill_speed")
    solid = source.share("solid_infill_speed", infill)
    seam, fill = source.text("seam_position"), source.text("fill_pattern")
    brim = source.number("brim_width")
    threshold = source.number("support_material_threshold")
    document = {
        "title": title[:80],
        "layers": _some(height_mm=height, first_mm=source.share("first_layer_height", height)),
        "shell": _some(
            walls=source.count("perimeters"), top_layers=source.count("top_solid_layers"),
            bottom_layers=source.count("bottom_solid_layers"), seam=seam if seam in _SEAMS else None,
            min_thickness_mm=source.number("top_solid_min_thickness"),
            elephant_foot_mm=source.number("elefant_foot_compensation"),
        ),
        "infill": _some(percent=source.percent("fill_density"), pattern=_FILLS.get(fill or "")),
        "speeds": _some(
            outer_wall_mm_s=source.share("external_perimeter_speed", inner) or None, inner_wall_mm_s=inner or None,
            infill_mm_s=infill or None, solid_mm_s=solid or None,
            top_mm_s=source.share("top_solid_infill_speed", solid) or None,
            bridge_mm_s=source.number("bridge_speed") or None,
            support_mm_s=source.number("support_material_speed") or None,
            first_layer_mm_s=source.share("first_layer_speed", inner) or None,
        ),
        "support": _some(
            enabled=source.flag("support_material"),
            overhang_deg=threshold.turned_into(90 - threshold) if threshold else None,
            from_bed_only=source.flag("support_material_buildplate_only"),
            gap_mm=source.number("support_material_contact_distance"),
        ),
        "adhesion": _some(
            kind="brim" if brim else None, brim_mm=brim or None, skirt_lines=source.count("skirts"),
            skirt_gap_mm=source.number("skirt_distance"),
        ),
    }  # fmt: skip
    left_out = [*_unknown("seam_position", seam, _SEAMS), *_unknown("fill_pattern", fill, _FILLS)]
    return _finished(document, source, left_out, QualityDocument)


def _finished(
    document: dict[str, Any],
    source: PresetValues,
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
    validate(ImportedTables.of(document), model)
    return Imported(document, left_out)


def _motion(source: PresetValues) -> dict[str, Any]:
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
    profile = to_profile("imported", validate(ImportedTables.of(probe), ProfileDocument))
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


def _unknown(key: str, word: str | None, known: Container[str]) -> list[str]:
    """Return what to tell about a word that has no counterpart here; the profile's default takes its place."""
    return [f"{key}: {word[:40]}"] if word and word not in known else []


def _beside(figure: Figure, delta: float) -> Figure:
    return figure.turned_into(min(max(0.0, figure + delta), MOST_C))


def _absent(settings: Mapping[str, str], kind: str, *needed: str) -> ConfigError:
    """Return the error for what a profile of this kind cannot do without."""
    missing = [key for key in needed if key not in settings]
    empty = [key for key in needed if key in settings and not settings[key].strip()]
    told = " and ".join([*missing, *empty]) or " and ".join(needed)
    is_other_kind = len(missing) == len(needed)
    return ConfigError(
        f"no {kind} in these settings: {told} {'has' if len(missing + empty) == 1 else 'have'} no value",
        code=SETTINGS_ABSENT if is_other_kind else None,
        remedy="export all settings from PrusaSlicer: File, Export, Export Config",
    )


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
