"""Which settings of an engine a profile may set by their own names, in its `[engine.*]` tables.

Allow-lists: whatever runs programs, writes G-code text, names files or hosts, sets temperatures or machine limits is
not on them; those come from the checked tables of the profiles or are forced when rendering. The names are those of
PrusaSlicer 2.5 and 2.9 and of CuraEngine 4.13 and 5.0.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from agent.toml_document import nearest
from agent.toml_validation import StrictModel

MAX_VALUE_CHARS = 200

_PRUSASLICER = """
    arc_fitting avoid_crossing_perimeters avoid_crossing_perimeters_max_detour bottom_fill_pattern
    bottom_solid_layers bottom_solid_min_thickness bridge_acceleration bridge_angle bridge_fan_speed
    bridge_flow_ratio bridge_speed brim_separation brim_type brim_width cooling default_acceleration
    deretract_speed disable_fan_first_layers dont_support_bridges elefant_foot_compensation
    enable_dynamic_overhang_speeds ensure_vertical_shell_thickness external_perimeter_acceleration
    external_perimeter_extrusion_width external_perimeter_speed external_perimeters_first extra_perimeters
    extrusion_multiplier extrusion_width fan_always_on fan_below_layer_time filament_max_volumetric_speed
    fill_angle fill_density fill_pattern first_layer_acceleration first_layer_acceleration_over_raft
    first_layer_extrusion_width first_layer_height first_layer_speed first_layer_speed_over_raft
    full_fan_speed_layer fuzzy_skin fuzzy_skin_point_dist fuzzy_skin_thickness gap_fill_enabled gap_fill_speed
    infill_acceleration infill_anchor infill_anchor_max infill_extrusion_width infill_first
    infill_only_where_needed infill_overlap infill_speed ironing ironing_flowrate ironing_spacing ironing_speed
    ironing_type layer_height max_fan_speed max_print_speed max_volumetric_extrusion_rate_slope_negative
    max_volumetric_extrusion_rate_slope_positive max_volumetric_speed min_bead_width min_fan_speed
    min_feature_size min_print_speed min_skirt_length only_retract_when_crossing_perimeters
    overhang_speed_0 overhang_speed_1 overhang_speed_2 overhang_speed_3 perimeter_acceleration
    perimeter_extrusion_width perimeter_generator perimeter_speed perimeters raft_contact_distance
    raft_expansion raft_first_layer_density raft_first_layer_expansion raft_layers resolution
    retract_before_travel retract_before_wipe retract_layer_change retract_length retract_length_toolchange
    retract_lift retract_lift_above retract_lift_below retract_restart_extra retract_restart_extra_toolchange
    retract_speed seam_position skirt_distance skirt_height skirts slice_closing_radius slowdown_below_layer_time
    small_perimeter_speed solid_infill_acceleration solid_infill_below_area solid_infill_every_layers
    solid_infill_extrusion_width solid_infill_speed spiral_vase staggered_inner_seams support_material
    support_material_angle support_material_auto support_material_bottom_contact_distance
    support_material_bottom_interface_layers support_material_buildplate_only support_material_closing_radius
    support_material_contact_distance support_material_enforce_layers support_material_extrusion_width
    support_material_interface_contact_loops support_material_interface_layers
    support_material_interface_pattern support_material_interface_spacing support_material_interface_speed
    support_material_pattern support_material_spacing support_material_speed support_material_style
    support_material_synchronize_layers support_material_threshold support_material_with_sheath
    support_material_xy_spacing support_tree_angle support_tree_angle_slow support_tree_branch_diameter
    support_tree_branch_diameter_angle support_tree_branch_distance support_tree_tip_diameter
    support_tree_top_rate thick_bridges thin_walls top_fill_pattern top_infill_extrusion_width
    top_solid_infill_acceleration top_solid_infill_speed top_solid_layers top_solid_min_thickness
    travel_acceleration travel_speed travel_speed_z wall_distribution_count wall_transition_angle
    wall_transition_filter_deviation wall_transition_length wipe wipe_into_infill wipe_into_objects
    xy_size_compensation
"""
PRUSASLICER_KEYS = frozenset(_PRUSASLICER.split())

_CURAENGINE_KEY = re.compile(
    r"(?:acceleration|adaptive_layer_height|adhesion|alternate|bottom|bridge|brim|carve|coasting|conical_overhang|"
    r"connect|cool|cross|draft_shield|expand_skins|fill|filter_out|gradual|hole_xy|infill|initial|interlocking|"
    r"inset|ironing|jerk|layer_0|layer_start|lightning|magic|max_skin|meshfix|min_bead|min_even|min_feature|"
    r"min_infill|min_odd|min_skin|min_wall|minimum|mold|multiple|ooze_shield|optimize|outer_inset|raft|retraction|"
    r"roofing|skin|skirt|slicing_tolerance|small|smooth|speed|sub_div|support|top|travel|wall|wipe|xy_offset|z_seam|"
    r"zig_zaggify)(?:_[a-z0-9]+)*|line_width|material_flow|[a-z]+_line_width|[a-z]+_material_flow"
)
_CURAENGINE_DENIED = re.compile(r"gcode|code|temperature|_nr$|extruder|image")


def check_prusaslicer(key: str, value: object) -> None:
    """Raise ValueError for a key that a profile may not set, or a value that is not one plain line."""
    if key not in PRUSASLICER_KEYS:
        meant = nearest(key, list(PRUSASLICER_KEYS))
        hint = f", did you mean {meant!r}?" if meant else ""
        raise ValueError(f"PrusaSlicer's {key!r} cannot be set in a profile{hint}")
    _check_value(key, value)


def check_curaengine(key: str, value: object) -> None:
    """Raise ValueError for a key that a profile may not set, or a value that is not one plain line."""
    if not _CURAENGINE_KEY.fullmatch(key) or _CURAENGINE_DENIED.search(key):
        raise ValueError(f"CuraEngine's {key!r} cannot be set in a profile")
    _check_value(key, value)


def _check_value(key: str, value: object) -> None:
    text = str(value)
    if (
        len(text) > MAX_VALUE_CHARS
        or not (text.isascii() and text.isprintable())
        or set(text) & set("{}[]\\")
    ):
        raise ValueError(f"{key}: the value must be one short plain line without brackets")


EngineValue = Annotated[str | bool | int | float, Field()]


class EngineTable(StrictModel):
    """`[engine]`: settings by the engine's own names, for what the neutral tables do not know."""

    prusaslicer: dict[str, EngineValue] = Field(
        default={},
        max_length=200,
        description="settings of PrusaSlicer by name, such as fuzzy_skin = 'external'",
    )
    curaengine: dict[str, EngineValue] = Field(
        default={}, max_length=200, description="settings of CuraEngine by name, such as z_seam_type = 'back'"
    )

    @field_validator("prusaslicer")
    @classmethod
    def _check_prusaslicer(cls, value: dict[str, EngineValue]) -> dict[str, EngineValue]:
        for key, setting in value.items():
            check_prusaslicer(key, setting)
        return value

    @field_validator("curaengine")
    @classmethod
    def _check_curaengine(cls, value: dict[str, EngineValue]) -> dict[str, EngineValue]:
        for key, setting in value.items():
            check_curaengine(key, setting)
        return value
