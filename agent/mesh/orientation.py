"""Which side should it lie on: candidate poses, each with its price in plain figures. Worker only."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.mesh.arrays import F64
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.section import hull, margin
from agent.mesh.geometry.solid import Solid
from agent.mesh.limits import Limits

_FLAT_SIDES = 24  # the largest flat sides are tried
_LOOKED_AT_CLOSELY = 10  # poses whose stability is computed
_SAME = 0.9994  # cosine of 2 degrees: the same pose
_BED_NORMAL = 0.9998
_SUPPORT_DENSITY = 0.15
_SPEED_MM_S = 60.0
_LAYER_PAUSE_S = 1.5
_CLEANING_S_MM2 = 0.5  # of supported surface: breaking off and scraping
_NO_FOOTING_S = 3600.0  # what a part that falls over costs
_WORTH_WHILE = 0.85  # a pose must cost this much less than the present one to be proposed


@dataclass(frozen=True, slots=True)
class Pose:
    """A way to lie. `up` is the direction of the part that looks up; figures in mm, mm², mm³, degrees, seconds.

    `cost_s` is the sum of `price`: what supports, their removal, layers and a poor footing cost in time. A pose that
    does not fit the printer costs infinitely much.
    """

    up: F64
    height_mm: float
    contact_mm2: float
    overhang_mm2: float
    support_mm3: float
    tip_deg: float
    fits: bool
    price: dict[str, float]

    @property
    def cost_s(self) -> float:
        """The whole price."""
        return sum(self.price.values()) if self.fits else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Return the pose as JSON, with its rotation as rows of a matrix."""
        return {
            "up": [round(float(value), 6) + 0.0 for value in self.up],
            "rotation": [[round(float(value), 6) + 0.0 for value in row] for row in rotation(self.up)],
            "height_mm": round(self.height_mm, 2),
            "contact_mm2": round(self.contact_mm2, 1),
            "overhang_mm2": round(self.overhang_mm2, 1),
            "support_mm3": round(self.support_mm3, 0),
            "tip_deg": round(self.tip_deg, 1),
            "fits": self.fits,
            "price_s": {key: round(value) for key, value in self.price.items()},
        }


def search(part: Part) -> list[Pose]:
    """Return poses, cheapest first, with the present one among them. Raises OverBudgetError."""
    solid = part.solid
    rough = [_pose(part, up, None) for up in candidates(solid)]
    rough.sort(key=_order)
    chosen = rough[:_LOOKED_AT_CLOSELY]
    poses = [_pose(part, pose.up, part.survey.centre) for pose in chosen]
    present = np.array([0.0, 0.0, 1.0])
    if not any(float(pose.up @ present) > _SAME for pose in poses):
        poses.append(_pose(part, present, part.survey.centre))
    return sorted(poses, key=_order)


def report(poses: list[Pose]) -> dict[str, Any]:
    """Return the search as JSON: the present pose, the best, and in words what would be gained."""
    present = next(pose for pose in poses if float(pose.up[2]) > _SAME)
    best = poses[0]
    is_better = best is not present and best.cost_s < present.cost_s * _WORTH_WHILE
    words = [_gain(present, best)] if is_better else []
    if is_better:
        words.insert(0, f"a better pose: {_turn(best.up)}")
    else:
        words.append(f"it lies well: none of {len(poses)} poses is clearly better")
    return {
        "is_better": is_better,
        "present": present.to_dict(),
        "best": best.to_dict(),
        "tried": len(poses),
        "words": words,
    }


def _gain(present: Pose, best: Pose) -> str:
    return (
        f"  supports {present.support_mm3 / 1000:.1f} -> {best.support_mm3 / 1000:.1f} cm³, "
        f"overhang {present.overhang_mm2:.0f} -> {best.overhang_mm2:.0f} mm², "
        f"height {present.height_mm:.0f} -> {best.height_mm:.0f} mm, "
        f"footing {present.contact_mm2:.0f} -> {best.contact_mm2:.0f} mm², "
        f"tips at {present.tip_deg:.0f} -> {best.tip_deg:.0f} degrees"
    )


def candidates(solid: Solid) -> list[F64]:
    """Return directions that may look up: the present one, opposite to large flat sides, and 26 plain ones."""
    found: list[F64] = [np.array([0.0, 0.0, 1.0])]
    plain = [
        np.array(step) / math.sqrt(sum(part * part for part in step))
        for step in itertools.product((-1.0, 0.0, 1.0), repeat=3)
        if any(step)
    ]
    for direction in [*(-side for side in _flat_sides(solid)), *plain]:
        if all(float(direction @ known) < _SAME for known in found):
            found.append(direction)
    return found


def _flat_sides(solid: Solid) -> list[F64]:
    """Return the normals with the most area behind them, largest first."""
    cells = np.round(solid.normals * 50).astype(np.int64) + 64
    keys = (cells[:, 0] * 128 + cells[:, 1]) * 128 + cells[:, 2]
    names, groups = np.unique(keys, return_inverse=True)
    areas = np.bincount(groups, weights=solid.areas, minlength=len(names))
    order = np.lexsort((names, -np.round(areas, 6)))[:_FLAT_SIDES]
    sums = np.stack(
        [
            np.bincount(groups, weights=solid.normals[:, axis] * solid.areas, minlength=len(names))
            for axis in range(3)
        ],
        axis=1,
    )[order]
    lengths = np.sqrt((sums**2).sum(axis=1))
    return [np.asarray(row / length) for row, length in zip(sums, lengths, strict=True) if length > 0]


def _pose(part: Part, up: F64, centre: F64 | None) -> Pose:
    """Measure a pose; with a centre of mass also whether it stands."""
    solid, limits = part.solid, part.limits
    levels = (solid.vertices @ up).astype(np.float32)
    base, top = float(levels.min()), float(levels.max())
    facing = solid.normals @ (-up).astype(np.float32)
    down = np.flatnonzero(facing > math.sin(math.radians(limits.overhang_deg)))
    corners = levels[solid.faces[down]]
    tops = np.maximum(np.maximum(corners[:, 0], corners[:, 1]), corners[:, 2])
    on_bed = tops <= base + limits.layer_mm / 2
    areas = solid.areas[down]
    contact = float(areas[on_bed & (facing[down] > _BED_NORMAL)].sum())
    hanging = ~on_bed
    heights = corners[hanging].mean(axis=1) - base
    support = float((areas[hanging] * facing[down][hanging] * heights).sum())
    overhang = float(areas[hanging].sum())
    tip = 90.0 if centre is None else _tip(solid, up, levels, centre, limits)
    return Pose(
        up=up,
        height_mm=top - base,
        contact_mm2=contact,
        overhang_mm2=overhang,
        support_mm3=support,
        tip_deg=tip,
        fits=_fits(solid, up, limits, top - base),
        price=_price(limits, height=top - base, contact=contact, overhang=overhang, support=support, tip=tip),
    )


def _price(
    limits: Limits, *, height: float, contact: float, overhang: float, support: float, tip: float
) -> dict[str, float]:
    speed = min(limits.flow_mm3_s, limits.line_mm * limits.layer_mm * _SPEED_MM_S)
    wanted = max(limits.contact_error_mm2 * 5, height * height / limits.slenderness**2)
    return {
        "supports": support * _SUPPORT_DENSITY / speed,
        "cleaning": overhang * _CLEANING_S_MM2,
        "layers": height / limits.layer_mm * _LAYER_PAUSE_S,
        "footing": _NO_FOOTING_S / 2 * max(0.0, 1.0 - contact / wanted),
        "stability": _NO_FOOTING_S * min(1.0, max(0.0, 1.0 - tip / limits.tip_deg)),
    }


def _tip(
    solid: Solid,
    up: F64,
    levels: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    centre: F64,
    limits: Limits,
) -> float:
    """Return by how many degrees the part can be tilted before it falls; 0 if it does not stand."""
    base = float(levels.min())
    turned = rotation(up)
    standing = solid.vertices[levels <= base + limits.layer_mm / 2] @ turned.T
    middle = turned @ centre
    inside = float(margin(hull(standing[:, :2]), middle[None, :2])[0])
    if not math.isfinite(inside) or inside <= 0:
        return 0.0
    return math.degrees(math.atan2(inside, max(float(middle[2]) - base, 1e-6)))


def _fits(solid: Solid, up: F64, limits: Limits, height: float) -> bool:
    if height > limits.volume_mm[2]:
        return False
    flat = solid.vertices @ rotation(up)[:2].T
    sides = flat.max(axis=0) - flat.min(axis=0)
    return bool((sides <= np.array(limits.volume_mm[:2])).all())


def rotation(up: F64) -> F64:
    """Return the matrix of the shortest turn that makes `up` look along +z."""
    target = np.array([0.0, 0.0, 1.0])
    cosine = float(up @ target)
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    axis = np.cross(up, target)
    skew = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    return np.asarray(np.eye(3) + skew + skew @ skew / (1 + cosine))


def _turn(up: F64) -> str:
    """Say a rotation in words."""
    angle = math.degrees(math.acos(max(-1.0, min(1.0, float(up[2])))))
    axis = np.cross(up, [0.0, 0.0, 1.0])
    length = float(np.sqrt((axis**2).sum()))
    if length < 1e-9:
        return "as it is" if up[2] > 0 else "turn it upside down (180 degrees about x)"
    axis = axis / length
    for index, name in enumerate("xyz"):
        if abs(axis[index]) > _BED_NORMAL:
            return f"turn it by {angle * math.copysign(1.0, axis[index]):.0f} degrees about {name}"
    shown = ", ".join(f"{value:.3f}" for value in axis)
    return f"turn it by {angle:.1f} degrees about the axis ({shown})"


def _order(pose: Pose) -> tuple[float, float, tuple[float, ...]]:
    """The cheapest first; equal ones in an order that does not depend on how they were found."""
    return (
        round(pose.cost_s, 1),
        -round(float(pose.up[2]), 3),
        tuple(round(float(value), 4) for value in pose.up),
    )
