"""What CuraEngine must be told although no profile speaks of it: features that stay off, and neutral figures.

Run without its definition files, CuraEngine knows no defaults and ends with "no value given" for every setting it asks
for. Names as in 4.13 and 5.0; a setting that a version does not know is ignored by it.
"""

from __future__ import annotations

_OFF = """
    adaptive_layer_height_enabled alternate_extra_perimeter anti_overhang_mesh bridge_settings_enabled
    clean_between_layers coasting_enable conical_overhang_enabled connect_infill_polygons connect_skin_polygons
    cool_lift_head cutting_mesh draft_shield_enabled fill_outline_gaps
    gradual_flow_enabled infill_enable_travel_optimization
    infill_mesh infill_randomize_start_location infill_support_enabled ironing_enabled ironing_monotonic
    ironing_only_highest_layer jerk_enabled machine_always_write_active_tool machine_center_is_zero
    machine_extruders_share_heater machine_extruders_share_nozzle machine_firmware_retract
    machine_heated_build_volume magic_fuzzy_skin_enabled magic_fuzzy_skin_outside_only magic_spiralize
    material_bed_temp_prepend material_bed_temp_wait material_flow_dependent_temperature material_print_temp_prepend
    material_print_temp_wait meshfix_extensive_stitching meshfix_keep_open_polygons
    meshfix_union_all_remove_holes mold_enabled ooze_shield_enabled prime_blob_enable prime_tower_brim_enable
    prime_tower_enable retract_at_layer_change retraction_hop_only_when_collides roofing_monotonic
    skin_no_small_gaps_heuristic speed_equalize_flow_enabled support_bottom_enable support_brim_enable
    support_conical_enabled support_fan_enable support_interface_enable support_mesh support_mesh_drop_down
    support_roof_enable support_skip_some_zags travel_avoid_supports travel_retract_before_outer_wall
    wall_min_flow_retract wipe_hop_enable wipe_retraction_enable wireframe_enabled z_seam_relative
    zig_zaggify_infill extruder_prime_pos_abs machine_extruder_start_pos_abs machine_extruder_end_pos_abs
    smooth_spiralized_contours alternate_carve_order machine_scale_fan_speed_zero_to_one material_alternate_walls
"""
_ON = """
    acceleration_enabled acceleration_travel_enabled brim_outside_only brim_replaces_support carve_multiple_volumes
    center_object cool_fan_enabled filter_out_tiny_gaps infill_before_walls limit_support_retractions
    machine_nozzle_temp_enabled machine_use_extruder_offset_to_offset_coords meshfix_union_all
    optimize_wall_printing_order relative_extrusion remove_empty_first_layers retraction_enable skin_monotonic
    support_connect_zigzags support_use_towers travel_avoid_other_parts
    travel_compensate_overlapping_walls_0_enabled travel_compensate_overlapping_walls_x_enabled zig_zaggify_support
"""
_ZERO = """
    brim_gap cool_fan_speed_0 extruder_nr extruder_prime_pos_x extruder_prime_pos_y extruder_prime_pos_z
    flow_rate_max_extrusion_offset gradual_infill_steps gradual_support_infill_steps hole_xy_offset
    infill_mesh_order infill_offset_x infill_offset_y infill_wall_line_count infill_wipe_dist ironing_inset
    layer_start_x layer_start_y machine_extruder_cooling_fan_number machine_extruder_end_pos_x
    machine_extruder_end_pos_y machine_extruder_start_pos_x machine_extruder_start_pos_y machine_minimum_feedrate
    machine_nozzle_offset_x machine_nozzle_offset_y mesh_position_x mesh_position_y mesh_position_z
    min_infill_area min_skin_width_for_expansion minimum_support_area raft_base_fan_speed raft_fan_speed
    raft_interface_fan_speed raft_surface_fan_speed retraction_combing_max_distance retraction_extra_prime_amount
    roofing_layer_count skin_edge_support_layers small_feature_max_length small_hole_max_size support_offset
    wall_0_inset wall_min_flow wipe_brush_pos_x wipe_hop_amount wipe_pause wipe_retraction_extra_prime_amount
    xy_offset support_interface_offset support_roof_offset support_bottom_offset initial_layer_z_overlap
    raft_base_wall_count raft_interface_wall_count extruder_prime_pos conical_overhang_hole_size
    support_brim_line_count
"""
_FULL = """
    bridge_fan_speed bridge_skin_density bridge_skin_density_2 bridge_skin_density_3 bridge_skin_material_flow
    bridge_skin_material_flow_2 bridge_skin_material_flow_3 bridge_wall_coast bridge_wall_material_flow
    flow_rate_extrusion_offset_factor initial_layer_line_width_factor material_flow_layer_0
    material_shrinkage_percentage material_shrinkage_percentage_xy material_shrinkage_percentage_z
    small_feature_speed_factor small_feature_speed_factor_0 wall_overhang_speed_factor
    support_roof_density support_bottom_density support_interface_density support_supported_skin_fan_speed
"""
_FIRST_EXTRUDER = """
    adhesion_extruder_nr support_bottom_extruder_nr support_extruder_nr_layer_0 support_infill_extruder_nr
    support_roof_extruder_nr raft_base_extruder_nr raft_interface_extruder_nr raft_surface_extruder_nr
    skirt_brim_extruder_nr support_extruder_nr support_interface_extruder_nr
"""
_ANY_EXTRUDER = """
    infill_extruder_nr roofing_extruder_nr top_bottom_extruder_nr wall_0_extruder_nr wall_x_extruder_nr
    wall_extruder_nr
"""
_EMPTY_LISTS = """
    infill_angles roofing_angles skin_angles support_bottom_angles support_infill_angles support_roof_angles
    support_interface_angles machine_disallowed_areas nozzle_disallowed_areas
"""
_EMPTY = "machine_extruder_start_code machine_extruder_end_code material_guid machine_extruder_prestart_code"

_FIGURES = {
    "adaptive_layer_height_threshold": "0.2",
    "adaptive_layer_height_variation": "0.1",
    "adaptive_layer_height_variation_step": "0.01",
    "bridge_fan_speed_2": "0",
    "bridge_fan_speed_3": "0",
    "bridge_skin_support_threshold": "50",
    "bridge_sparse_infill_max_density": "0",
    "bridge_wall_min_length": "5",
    "cross_infill_pocket_size": "2",
    "gradual_infill_step_height": "1.5",
    "gradual_support_infill_step_height": "1",
    "infill_multiplier": "1",
    "ironing_flow": "10",
    "ironing_line_spacing": "0.1",
    "ironing_pattern": "zigzag",
    "inset_direction": "inside_out",
    "machine_buildplate_type": "glass",
    "machine_name": "fabunit",
    "machine_nozzle_cool_down_speed": "2",
    "machine_nozzle_heat_up_speed": "2",
    "machine_nozzle_tip_outer_diameter": "1",
    "machine_shape": "rectangular",
    "magic_mesh_surface_mode": "normal",
    "material_extrusion_cool_down_speed": "0.7",
    "material_flow_temp_graph": "[[3.5,200],[7.0,240]]",
    "material_standby_temperature": "150",
    "max_extrusion_before_wipe": "10",
    "max_skin_angle_for_expansion": "90",
    "mesh_rotation_matrix": "[[1,0,0], [0,1,0], [0,0,1]]",
    "meshfix_maximum_deviation": "0.02",
    "meshfix_maximum_extrusion_area_deviation": "50000",
    "meshfix_maximum_resolution": "0.25",
    "meshfix_maximum_travel_resolution": "0.5",
    "minimum_polygon_circumference": "1",
    "multiple_mesh_overlap": "0.15",
    "print_sequence": "all_at_once",
    "raft_airgap": "0.25",
    "raft_margin": "3",
    "raft_smoothing": "5",
    "raft_surface_layers": "2",
    "raft_interface_layers": "1",
    "layer_0_z_overlap": "0.12",
    "retraction_combing": "noskin",
    "retraction_count_max": "90",
    "retraction_hop_after_extruder_switch": "false",
    "retraction_hop_after_extruder_switch_height": "1",
    "skin_outline_count": "1",
    "skirt_brim_minimal_length": "100",
    "slicing_tolerance": "middle",
    "speed_slowdown_layers": "1",
    "sub_div_rad_add": "0.4",
    "support_bottom_pattern": "concentric",
    "support_bottom_stair_step_height": "0.3",
    "support_bottom_stair_step_min_slope": "10",
    "support_bottom_stair_step_width": "5",
    "support_conical_angle": "30",
    "support_conical_min_width": "5",
    "support_join_distance": "2",
    "support_pattern": "zigzag",
    "support_roof_pattern": "concentric",
    "support_structure": "normal",
    "support_tower_diameter": "3",
    "support_tower_maximum_supported_diameter": "3",
    "support_tower_roof_angle": "65",
    "support_tree_angle": "40",
    "support_tree_branch_diameter": "2",
    "support_tree_branch_diameter_angle": "5",
    "support_tree_branch_distance": "1",
    "support_tree_collision_resolution": "0.4",
    "support_wall_count": "1",
    "support_xy_overrides_z": "z_overrides_xy",
    "support_zag_skip_count": "5",
    "switch_extruder_prime_speed": "20",
    "switch_extruder_retraction_amount": "10",
    "switch_extruder_retraction_speed": "20",
    "top_bottom_pattern": "lines",
    "top_bottom_pattern_0": "lines",
    "roofing_pattern": "lines",
    "wall_distribution_count": "1",
    "wall_overhang_angle": "90",
    "wall_transition_angle": "10",
    "wipe_hop_speed": "10",
    "wipe_move_distance": "20",
    "wipe_repeat_count": "5",
    "wipe_retraction_amount": "1",
    "wipe_retraction_prime_speed": "3",
    "wipe_retraction_retract_speed": "3",
    "z_seam_corner": "z_seam_corner_inner",
    "fill_perimeter_gaps": "everywhere",
    "speed_equalize_flow_width_factor": "100",
}


def base_settings() -> dict[str, str]:
    """Return the settings that no profile decides, by name."""
    groups = (
        (_OFF, "false"),
        (_ON, "true"),
        (_ZERO, "0"),
        (_FULL, "100"),
        (_FIRST_EXTRUDER, "0"),
        (_ANY_EXTRUDER, "-1"),
        (_EMPTY_LISTS, "[]"),
        (_EMPTY, ""),
    )
    return {name: value for names, value in groups for name in names.split()} | _FIGURES
