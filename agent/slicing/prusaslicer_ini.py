"""A setup as PrusaSlicer's flat configuration. Key names are common to 2.5 and 2.9 unless noted.

Every key that could run a program, write a file elsewhere, reach a host or put foreign G-code into the output is set
here and rendered last: a key that is absent could be filled by the model file (CVE-2023-47268).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from agent.slicing.engine import Version
from agent.slicing.setup import PrintSetup
from agent.slicing.sliced_scripts import end_lines, start_lines

_PATTERNS = {
    "grid": "grid",
    "gyroid": "gyroid",
    "cubic": "cubic",
    "lines": "rectilinear",
    "triangles": "triangles",
    "honeycomb": "honeycomb",
    "concentric": "concentric",
}
_FEWER_TURNS_SINCE = (2, 6, 0)
JERK_OF_DEVIATION, JERK_WITH_FEWER_TURNS = 1.6, 1.68
"""Classic jerk per sqrt(acceleration * junction deviation) whose estimates are nearest, for 2.5 and 2.9: forty and
twenty-one slices, within 1.5 %. Where less of a part is lines to and fro, more of it is curves."""
RIGHT_ANGLE_OF_DEVIATION = 1.55
"""The same for a right angle alone: what a retraction is to the moves before and after it."""
DEFAULT_JERK_MM_S = 8.0
DEFAULT_JERK_Z_MM_S = 0.4
DEFAULT_JERK_E_MM_S = 5.0
_FLAVOURS = {"marlin2": "marlin2", "marlin": "marlin", "reprap": "reprapfirmware", "klipper": "marlin"}

# Set last, whatever the layers say. Absolute values of keys that only one version knows are ignored by the other.
FORCED: Mapping[str, str] = {
    "post_process": "",
    "gcode_substitutions": "",
    "output_filename_format": "out.gcode",
    "printer_technology": "FFF",
    "binary_gcode": "0",
    "print_host": "",
    "printhost_apikey": "",
    "printer_notes": "",
    "filament_notes": '""',
    "notes": "",
    "layer_gcode": "",
    "before_layer_gcode": ";BEFORE_LAYER_CHANGE\\nG92 E0",
    "between_objects_gcode": "",
    "toolchange_gcode": "",
    "color_change_gcode": "",
    "pause_print_gcode": "",
    "template_custom_gcode": "",
    "start_filament_gcode": '""',  # a list: empty text would be a list without the first entry
    "end_filament_gcode": '""',
    "single_extruder_multi_material": "0",
    "wipe_tower": "0",
    "complete_objects": "0",
    "use_relative_e_distances": "1",
    "use_volumetric_e": "0",
    "use_firmware_retraction": "0",
    "gcode_comments": "0",
    "gcode_label_objects": "0",
    "remaining_times": "1",
    "silent_mode": "0",
    "thumbnails": "",
    "autoemit_temperature_commands": "0",
}


def render(setup: PrintSetup, version: Version = (2, 5, 0)) -> dict[str, str]:
    """Return every key with its value for a version of PrusaSlicer: our tables, then raw tables, then forced keys."""
    settings = {
        **_machine(setup, version),
        **_filament(setup),
        **_style(setup),
        **_speeds(setup),
        **_around(setup),
    }
    for layer in (setup.style, setup.filament, setup.machine):
        settings.update({key: _text(value) for key, value in layer.engine.prusaslicer.items()})
    return {
        **settings,
        **FORCED,
        "start_gcode": _script(start_lines(setup)),
        "end_gcode": _script(end_lines(setup)),
    }


def ini_text(settings: Mapping[str, str]) -> str:
    """Return the settings as a file for `--load`."""
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def _machine(setup: PrintSetup, version: Version) -> dict[str, str]:
    motion, slicing = setup.machine.motion, setup.machine.slicing
    width, depth, height = setup.profile.volume_mm
    settings = {
        "bed_shape": f"0x0,{width:g}x0,{width:g}x{depth:g},0x{depth:g}",
        "max_print_height": _text(height),
        "nozzle_diameter": _text(setup.profile.nozzle_mm),
        "gcode_flavor": _FLAVOURS[slicing.flavour],
        "machine_limits_usage": "time_estimate_only",
        "retract_length": _text(setup.retract_mm),
        "retract_speed": _text(setup.retract_speed_mm_s),
        "retract_lift": _text(slicing.lift_mm),
        "retract_before_travel": "1.5",
        "retract_layer_change": "0",
        "wipe": "0",
        "travel_speed": _text(setup.speeds.travel),
    }
    for axis in "xyze":
        settings[f"machine_max_feedrate_{axis}"] = _twice(getattr(motion.max_speed_mm_s, axis))
        settings[f"machine_max_acceleration_{axis}"] = _twice(getattr(motion.max_acceleration_mm_s2, axis))
        settings[f"machine_max_jerk_{axis}"] = _twice(_jerk_mm_s(setup, axis, version))
    push = motion.max_acceleration_mm_s2
    for name, value in (("extruding", push.x), ("travel", push.x), ("retracting", push.e)):
        settings[f"machine_max_acceleration_{name}"] = _twice(value)
    return settings


def _jerk_mm_s(setup: PrintSetup, axis: str, version: Version) -> float:
    """Return the classic jerk of an axis, or the one that comes nearest to the printer's own rule for corners.

    PrusaSlicer estimates with classic jerk only. Junction deviation d at acceleration a takes a right angle as a jerk
    of 1.55 sqrt(a d) does, fine curves as one of 2.83 sqrt(a d) does, and a line's end on itself at no speed.
    """
    motion = setup.machine.motion
    if motion.jerk_mm_s is not None:
        return float(getattr(motion.jerk_mm_s, axis))
    deviation_mm = motion.junction_deviation_mm
    if axis == "z":
        return DEFAULT_JERK_Z_MM_S
    if axis == "e":
        push = motion.max_acceleration_mm_s2.e
        return (
            round(RIGHT_ANGLE_OF_DEVIATION * math.sqrt(push * deviation_mm), 2)
            if deviation_mm
            else DEFAULT_JERK_E_MM_S
        )
    if deviation_mm is not None:
        share = JERK_OF_DEVIATION if version < _FEWER_TURNS_SINCE else JERK_WITH_FEWER_TURNS
        return round(share * math.sqrt(setup.speeds.acceleration * deviation_mm), 2)
    return float(motion.square_corner_mm_s or DEFAULT_JERK_MM_S)


def _filament(setup: PrintSetup) -> dict[str, str]:
    targets, cooling = setup.targets, setup.filament.cooling
    return {
        "filament_diameter": _text(setup.machine.slicing.filament_mm),
        "filament_density": _text(setup.filament.filament.density_g_cm3),
        "filament_type": setup.filament.type,
        "extrusion_multiplier": _text(setup.flow_percent / 100),
        "filament_max_volumetric_speed": _text(setup.max_flow_mm3_s),
        "temperature": _text(targets.nozzle_c),
        "first_layer_temperature": _text(targets.first_nozzle_c),
        "bed_temperature": _text(targets.bed_c),
        "first_layer_bed_temperature": _text(targets.first_bed_c),
        "cooling": "1",
        "fan_always_on": "1" if cooling.fan_min_percent else "0",
        "min_fan_speed": _text(round(cooling.fan_min_percent)),
        "max_fan_speed": _text(round(cooling.fan_max_percent)),
        "bridge_fan_speed": _text(round(cooling.bridge_percent)),
        "disable_fan_first_layers": _text(cooling.off_layers),
        "slowdown_below_layer_time": _text(round(cooling.short_layer_s)),
        "fan_below_layer_time": _text(round(3 * cooling.short_layer_s)),
        "min_print_speed": _text(cooling.min_speed_mm_s),
    }


def _style(setup: PrintSetup) -> dict[str, str]:
    shell = setup.style.shell
    line = _text(setup.line_mm)
    widths = (
        "",
        "external_perimeter_",
        "perimeter_",
        "infill_",
        "solid_infill_",
        "top_infill_",
        "support_material_",
    )
    return {
        "layer_height": _text(setup.layer_mm),
        "first_layer_height": _text(setup.first_layer_mm),
        **{f"{part}extrusion_width": line for part in widths},
        "first_layer_extrusion_width": line,
        "perimeters": str(setup.walls),
        "top_solid_layers": str(shell.top_layers),
        "bottom_solid_layers": str(shell.bottom_layers),
        "top_solid_min_thickness": _text(shell.min_thickness_mm),
        "bottom_solid_min_thickness": _text(shell.min_thickness_mm),
        "seam_position": shell.seam,
        "elefant_foot_compensation": _text(shell.elephant_foot_mm),
        "fill_density": f"{setup.infill_percent:g}%",
        # PrusaSlicer fills solidly only with these patterns.
        "fill_pattern": "rectilinear" if setup.infill_percent > 99 else _PATTERNS[setup.style.infill.pattern],
        "spiral_vase": "0",
    }


def _speeds(setup: PrintSetup) -> dict[str, str]:
    speeds = setup.speeds
    return {
        "external_perimeter_speed": _text(speeds.outer_wall),
        "perimeter_speed": _text(speeds.inner_wall),
        "small_perimeter_speed": _text(speeds.outer_wall),
        "infill_speed": _text(speeds.infill),
        "solid_infill_speed": _text(speeds.solid),
        "top_solid_infill_speed": _text(speeds.top),
        "bridge_speed": _text(speeds.bridge),
        "gap_fill_speed": _text(speeds.outer_wall),
        "support_material_speed": _text(speeds.support),
        "first_layer_speed": _text(speeds.first_layer),
        "default_acceleration": _text(speeds.acceleration),
        "perimeter_acceleration": _text(speeds.outer_wall_acceleration),
        "infill_acceleration": _text(speeds.acceleration),
        "bridge_acceleration": _text(speeds.outer_wall_acceleration),
        "first_layer_acceleration": _text(speeds.first_layer_acceleration),
        # Known to 2.6 and later.
        "travel_acceleration": _text(speeds.travel_acceleration),
    }


def _around(setup: PrintSetup) -> dict[str, str]:
    support, adhesion = setup.style.support, setup.style.adhesion
    is_skirt = adhesion.kind == "skirt" and not setup.brim_mm
    return {
        "support_material": "1" if setup.supports else "0",
        "support_material_auto": "1",
        # PrusaSlicer counts from the horizontal.
        "support_material_threshold": _text(round(90 - support.overhang_deg)),
        "support_material_buildplate_only": "1" if support.from_bed_only else "0",
        "support_material_contact_distance": _text(support.gap_mm),
        "support_material_spacing": _text(_spacing_mm(setup)),
        "brim_type": "outer_only" if setup.brim_mm else "no_brim",
        "brim_width": _text(setup.brim_mm),
        "skirts": str(adhesion.skirt_lines) if is_skirt else "0",
        "skirt_distance": _text(adhesion.skirt_gap_mm),
        "skirt_height": "1",
        "raft_layers": "3" if adhesion.kind == "raft" else "0",
    }


def _spacing_mm(setup: PrintSetup) -> float:
    return round(setup.line_mm * 100 / max(setup.style.support.density_percent, 1.0) - setup.line_mm, 2)


def _text(value: float | str | bool) -> str:  # noqa: FBT001 - a TOML value
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if isinstance(value, str) else f"{value:.6g}"


def _twice(value: float) -> str:
    """Machine limits have two entries: normal and silent mode."""
    return f"{value:.6g},{value:.6g}"


def _script(lines: tuple[str, ...]) -> str:
    return "\\n".join(lines)
