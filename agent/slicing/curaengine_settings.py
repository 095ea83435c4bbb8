"""A setup as the full list of settings for CuraEngine, which knows no defaults of its own.

Derived figures (line distances, layer counts) follow the expressions of Cura's definition files, which the engine does
not evaluate. Speeds in mm/s, lengths in mm.
"""

from __future__ import annotations

import math

from agent.slicing.curaengine_base import base_settings
from agent.slicing.setup import PrintSetup
from agent.slicing.sliced_scripts import end_lines, start_lines

_PATTERNS = {
    "grid": "grid",
    "gyroid": "gyroid",
    "cubic": "cubic",
    "lines": "lines",
    "triangles": "triangles",
    "honeycomb": "trihexagon",
    "concentric": "concentric",
}
LEAST_WALL = 0.85
"""Width of the thinnest wall that is printed, as a share of the nozzle."""
# So many sets of lines cross in a pattern; each gets its share of the density.
_LINE_SETS = {"grid": 2, "cubic": 3, "triangles": 3, "trihexagon": 3}
_SEAMS = {"nearest": "shortest", "aligned": "sharpest_corner", "rear": "back", "random": "random"}
# The engine adds nothing but M204 and fans in all of these; start and end scripts are ours.
_FLAVOURS = {"marlin2": "RepRap (Marlin/Sprinter)", "marlin": "RepRap (Marlin/Sprinter)",
             "klipper": "RepRap (Marlin/Sprinter)", "reprap": "RepRap (RepRap)"}  # fmt: skip


def render(setup: PrintSetup) -> dict[str, str]:
    """Return every setting by name: neutral ones, ours, raw tables of the profiles, scripts."""
    settings = {
        **base_settings(),
        **_machine(setup),
        **_lines(setup),
        **_walls(setup),
        **_inside(setup),
        **_speeds(setup),
        **_accelerations(setup),
        **_material(setup),
        **_support(setup),
        **_adhesion(setup),
    }
    for layer in (setup.style, setup.filament, setup.machine):
        settings.update({key: _text(value) for key, value in layer.engine.curaengine.items()})
    settings["machine_start_gcode"] = "\n".join(start_lines(setup))
    settings["machine_end_gcode"] = "\n".join(end_lines(setup))
    return settings


def _machine(setup: PrintSetup) -> dict[str, str]:
    motion, slicing = setup.machine.motion, setup.machine.slicing
    width, depth, height = setup.profile.volume_mm
    jerk = motion.jerk_mm_s
    settings = {
        "machine_width": _text(width),
        "machine_depth": _text(depth),
        "machine_height": _text(height),
        "machine_heated_bed": _text(setup.profile.bed is not None),
        "machine_gcode_flavor": _FLAVOURS[slicing.flavour],
        "machine_nozzle_size": _text(setup.profile.nozzle_mm),
        "machine_max_jerk_xy": _text(min(jerk.x, jerk.y) if jerk else 8.0),
        "machine_max_jerk_z": _text(jerk.z if jerk else 0.4),
        "machine_max_jerk_e": _text(jerk.e if jerk else 5.0),
        "retraction_amount": _text(setup.retract_mm),
        "retraction_extrusion_window": _text(setup.retract_mm),
        "retraction_hop": _text(slicing.lift_mm or 0.2),
        "retraction_hop_enabled": _text(slicing.lift_mm > 0),
        "retraction_min_travel": "1.5",
        "retraction_prime_speed": _text(setup.retract_speed_mm_s),
        "retraction_retract_speed": _text(setup.retract_speed_mm_s),
        "retraction_speed": _text(setup.retract_speed_mm_s),
        "travel_avoid_distance": _text(0.6),
        "z_seam_type": _SEAMS[setup.style.shell.seam],
        "z_seam_x": _text(width / 2),
        "z_seam_y": _text(depth * 3),
    }
    for axis in "xyze":
        settings[f"machine_max_feedrate_{axis}"] = _text(getattr(motion.max_speed_mm_s, axis))
        settings[f"machine_max_acceleration_{axis}"] = _text(getattr(motion.max_acceleration_mm_s2, axis))
    return settings


def _lines(setup: PrintSetup) -> dict[str, str]:
    line, layer = _text(setup.line_mm), _text(setup.layer_mm)
    least_mm = LEAST_WALL * setup.profile.nozzle_mm
    parts = ("", "wall_", "skin_", "infill_", "skirt_brim_", "support_", "support_interface_", "support_roof_",
             "support_bottom_", "prime_tower_", "roofing_", "raft_surface_")  # fmt: skip
    return {
        "layer_height": layer,
        "layer_height_0": _text(setup.first_layer_mm),
        **{f"{part}line_width": line for part in parts},
        "wall_line_width_0": line,
        "wall_line_width_x": line,
        "infill_sparse_thickness": layer,
        "support_infill_sparse_thickness": layer,
        "raft_surface_thickness": layer,
        "raft_interface_thickness": _text(1.5 * setup.layer_mm),
        "raft_base_thickness": _text(1.2 * setup.first_layer_mm),
        "raft_base_line_width": _text(1.8 * setup.profile.nozzle_mm),
        "raft_base_line_spacing": _text(3.6 * setup.profile.nozzle_mm),
        "raft_interface_line_width": _text(1.5 * setup.profile.nozzle_mm),
        "raft_interface_line_spacing": _text(2 * setup.profile.nozzle_mm),
        "raft_surface_line_spacing": line,
        "min_feature_size": _text(setup.profile.nozzle_mm / 4),
        "min_bead_width": _text(least_mm),
        "min_wall_line_width": _text(least_mm),
        "min_even_wall_line_width": _text(least_mm),
        "min_odd_wall_line_width": _text(least_mm),
        # From 5.0 on, in percent of a line: from which width on one more wall goes into the middle.
        "wall_split_middle_threshold": _text(_percent((2 * least_mm - setup.line_mm) / setup.line_mm)),
        "wall_add_middle_threshold": _text(_percent(least_mm / setup.line_mm)),
        "wall_transition_length": line,
        "wall_transition_filter_distance": _text(100),
        "wall_transition_filter_deviation": _text(0.25 * setup.profile.nozzle_mm),
    }


def _percent(share: float) -> float:
    """In percent, within the engine's limits of 1 to 99."""
    return min(99.0, max(1.0, 100 * share))


def _walls(setup: PrintSetup) -> dict[str, str]:
    shell = setup.style.shell
    least = math.ceil(shell.min_thickness_mm / setup.layer_mm - 1e-9)
    top = max(shell.top_layers, least) if shell.top_layers else 0
    bottom = max(shell.bottom_layers, least) if shell.bottom_layers else 0
    wall = setup.line_mm * setup.walls
    return {
        "wall_line_count": str(setup.walls),
        "wall_thickness": _text(wall),
        "wall_0_wipe_dist": _text(setup.profile.nozzle_mm / 2),
        "outer_inset_first": "false",
        "top_layers": str(top),
        "bottom_layers": str(bottom),
        "initial_bottom_layers": str(bottom),
        "top_thickness": _text(top * setup.layer_mm),
        "bottom_thickness": _text(bottom * setup.layer_mm),
        "xy_offset_layer_0": _text(-shell.elephant_foot_mm),
        "skin_overlap_mm": _text(0.05 * setup.line_mm),
        **dict.fromkeys(("skin_preshrink", "top_skin_preshrink", "bottom_skin_preshrink"), _text(wall)),
        **dict.fromkeys(("top_skin_expand_distance", "bottom_skin_expand_distance"), _text(wall)),
    }


def _inside(setup: PrintSetup) -> dict[str, str]:
    percent = setup.infill_percent
    pattern = "lines" if percent > 99 else _PATTERNS[setup.style.infill.pattern]
    sets = _LINE_SETS.get(pattern, 1)
    distance = setup.line_mm * 100 / percent * sets if percent else 0.0
    return {
        "infill_sparse_density": _text(percent),
        "infill_line_distance": _text(distance),
        "infill_pattern": pattern,
        "infill_overlap_mm": _text(0.1 * setup.line_mm),
    }


def _speeds(setup: PrintSetup) -> dict[str, str]:
    speeds = setup.speeds
    z_top = setup.machine.motion.max_speed_mm_s.z
    by_name = (
        (speeds.outer_wall, "speed_wall_0 speed_wall"),
        (speeds.inner_wall, "speed_wall_x speed_prime_tower"),
        (speeds.infill, "speed_infill speed_print"),
        (speeds.solid, "speed_topbottom"),
        (speeds.top, "speed_roofing speed_ironing"),
        (speeds.bridge, "bridge_wall_speed bridge_skin_speed bridge_skin_speed_2 bridge_skin_speed_3"),
        (speeds.support, "speed_support speed_support_infill speed_support_roof speed_support_bottom"),
        (speeds.support, "raft_speed raft_interface_speed raft_surface_speed"),
        (speeds.first_layer, "speed_layer_0 speed_print_layer_0 skirt_brim_speed raft_base_speed"),
        (speeds.travel, "speed_travel"),
        (speeds.travel / 2, "speed_travel_layer_0"),
        (min(10.0, z_top), "speed_z_hop"),
        (setup.filament.cooling.min_speed_mm_s, "cool_min_speed"),
    )
    return {name: _text(speed) for speed, names in by_name for name in names.split()}


def _accelerations(setup: PrintSetup) -> dict[str, str]:
    speeds = setup.speeds
    usual = ("print", "wall", "wall_x", "infill", "ironing", "prime_tower", "roofing", "support", "support_bottom",
             "support_infill", "support_roof", "topbottom")  # fmt: skip
    first = ("print_layer_0", "layer_0", "skirt_brim", "travel_layer_0")
    rafts = ("raft", "raft_base", "raft_interface", "raft_surface")
    jerks = (*usual, *first, "wall_0", "travel")
    return {
        **{f"acceleration_{part}": _text(speeds.acceleration) for part in usual},
        **{f"acceleration_{part}": _text(speeds.first_layer_acceleration) for part in first},
        **{f"{part}_acceleration": _text(speeds.acceleration) for part in rafts},
        "machine_acceleration": _text(speeds.acceleration),
        "acceleration_wall_0": _text(speeds.outer_wall_acceleration),
        "acceleration_travel": _text(speeds.travel_acceleration),
        # Jerk control is off, the engine asks for the figures all the same.
        **{f"jerk_{part}": "8" for part in jerks},
        **{f"{part}_jerk": "8" for part in rafts},
    }


def _material(setup: PrintSetup) -> dict[str, str]:
    targets, cooling = setup.targets, setup.filament.cooling
    flows = ("", "wall_", "wall_0_", "wall_x_", "skin_", "roofing_", "infill_", "skirt_brim_", "support_",
             "support_interface_", "support_roof_", "support_bottom_")  # fmt: skip
    return {
        **{f"{part}material_flow": _text(setup.flow_percent) for part in flows},
        "prime_tower_flow": _text(setup.flow_percent),
        "material_diameter": _text(setup.machine.slicing.filament_mm),
        "material_print_temperature": _text(targets.nozzle_c),
        "material_print_temperature_layer_0": _text(targets.first_nozzle_c),
        "material_initial_print_temperature": _text(targets.nozzle_c),
        "material_final_print_temperature": _text(targets.nozzle_c),
        "material_bed_temperature": _text(targets.bed_c),
        "material_bed_temperature_layer_0": _text(targets.first_bed_c),
        "build_volume_temperature": _text(targets.chamber_c),
        "cool_fan_speed": _text(cooling.fan_max_percent),
        "cool_fan_speed_min": _text(cooling.fan_min_percent),
        "cool_fan_speed_max": _text(cooling.fan_max_percent),
        "cool_fan_full_layer": str(cooling.off_layers + 1),
        "cool_min_layer_time": _text(cooling.short_layer_s),
        "cool_min_layer_time_fan_speed_max": _text(3 * cooling.short_layer_s),
    }


def _support(setup: PrintSetup) -> dict[str, str]:
    support = setup.style.support
    distance = _text(setup.line_mm * 100 / max(support.density_percent, 1.0))
    return {
        "support_enable": _text(setup.supports),
        "support_type": "buildplate" if support.from_bed_only else "everywhere",
        "support_angle": _text(support.overhang_deg),
        "support_infill_rate": _text(support.density_percent),
        "support_line_distance": distance,
        "support_initial_layer_line_distance": distance,
        "support_roof_line_distance": _text(setup.line_mm),
        "support_bottom_line_distance": _text(setup.line_mm),
        "support_z_distance": _text(support.gap_mm),
        "support_top_distance": _text(support.gap_mm),
        "support_bottom_distance": _text(support.gap_mm),
        "support_xy_distance": _text(2 * setup.line_mm),
        "support_xy_distance_overhang": _text(setup.line_mm / 2),
    }


def _adhesion(setup: PrintSetup) -> dict[str, str]:
    adhesion = setup.style.adhesion
    kind = "brim" if setup.brim_mm else adhesion.kind
    if kind == "brim" and not setup.brim_mm:
        kind = "none"
    return {
        "adhesion_type": kind,
        "brim_width": _text(setup.brim_mm),
        "brim_line_count": str(math.ceil(setup.brim_mm / setup.line_mm)),
        "skirt_line_count": str(adhesion.skirt_lines),
        "skirt_gap": _text(adhesion.skirt_gap_mm),
        "skirt_height": "1",
    }


def _text(value: float | str | bool) -> str:  # noqa: FBT001 - a TOML value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.6g}"
