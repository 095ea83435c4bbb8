"""What it will take: material, mass, time, supports; ranges, because the slicer decides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from agent.mesh.geometry.part import Part

_WALLS = 2  # lines around a part, as slicers lay them by default
_FLAT_LAYERS = 4  # solid layers below and above
_SUPPORT_DENSITY = 0.15
_TYPICAL_SPEED_MM_S = 60.0
_LAYER_PAUSE_S = 1.5  # travel, lifts, slow small layers
_FAST, _SLOW = 0.7, 1.8  # printers and profiles differ by this much around the typical time


def estimate(part: Part) -> dict[str, Any]:
    """Return volumes in mm³, mass in g, filament length (1.75 mm) in m, and the time range in s."""
    limits, survey = part.limits, part.survey
    volume = abs(survey.volume_mm3)
    shell = min(volume, survey.area_mm2 * (_WALLS * limits.line_mm + _FLAT_LAYERS * limits.layer_mm) / 2)
    support = support_volume(part)
    laid = shell + (volume - shell) * limits.infill + support * _SUPPORT_DENSITY
    speed = min(limits.flow_mm3_s, limits.line_mm * limits.layer_mm * _TYPICAL_SPEED_MM_S)
    layers = math.ceil(float(survey.size[2]) / limits.layer_mm)
    time = laid / speed + layers * _LAYER_PAUSE_S
    return {
        "volume_mm3": round(volume, 3),
        "support_volume_mm3": round(support, 1),
        "material_mm3": round(laid, 1),
        "mass_g": round(laid * limits.density_g_cm3 / 1000, 2),
        "filament_m": round(laid / (math.pi * (1.75 / 2) ** 2) / 1000, 2),
        "layers": layers,
        "time_low_s": round(time * _FAST),
        "time_high_s": round(time * _SLOW),
    }


def support_volume(part: Part) -> float:
    """Return the space below overhangs, down to the bed or to the next surface, in mm³."""
    columns, limits = part.columns, part.limits
    if len(columns.cell) == 0:
        return 0.0
    is_first = np.concatenate(([True], columns.cell[1:] != columns.cell[:-1]))
    below = np.where(is_first, part.base_mm, np.concatenate(([part.base_mm], columns.top[:-1])))
    free = columns.bottom - below
    needs = (columns.slope > limits.overhang_deg) & (free > limits.layer_mm)
    return float(free[needs].sum() * columns.pitch_mm**2)
