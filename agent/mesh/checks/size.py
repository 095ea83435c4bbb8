"""Whether it fits as it lies, is high enough to be a part, and lies where float32 can tell its points apart."""

from __future__ import annotations

import math

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh.arrays import F64
from agent.mesh.checks.outcome import Outcome
from agent.mesh.finding import MeshFinding
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.section import hull

_SKIRT_MM = 2.0  # around the part, for the skirt that slicers lay
_FAR_MM = 30_000.0  # beyond this float32 has steps of more than 2 µm
_TURN_STEP_DEG = 5


def check(part: Part) -> Outcome:
    """Compare the bounding box with the printer, and the coordinates with what float32 can tell apart."""
    findings = [*_fit(part), *_height(part), *_precision(part)]
    return Outcome(tuple(findings))


def _fit(part: Part) -> list[MeshFinding]:
    size, room = part.survey.size, np.array(part.limits.volume_mm)
    room = room - np.array([2 * _SKIRT_MM, 2 * _SKIRT_MM, 0.0])
    over = size - room
    if (over <= 0).all():
        return []
    shown = " x ".join(f"{side:.1f}" for side in size)
    worst = int(np.argmax(over))
    measured, limit = float(size[worst]), float(room[worst])
    if over[2] <= 0 and (turn := _turn(part, room)) is not None:
        return [
            MeshFinding(
                "size.fits_turned",
                Severity.WARNING,
                f"{shown} mm fits the bed only when turned by {turn} degrees about z",
                f"turn it by {turn} degrees before slicing",
                measured=measured,
                limit=limit,
                unit="mm",
            )
        ]
    turned = np.sort(size) <= np.sort(room)
    remedy = "lay it on another side: --orient" if turned.all() else "scale it down or cut it"
    bed = " x ".join(f"{side:g}" for side in part.limits.volume_mm)
    return [
        MeshFinding(
            "size.fits_bed",
            Severity.ERROR,
            f"{shown} mm does not fit {bed} mm: {'xyz'[worst]} is {measured - limit:.1f} mm too long",
            remedy,
            measured=measured,
            limit=limit,
            unit="mm",
        )
    ]


def _turn(part: Part, room: F64) -> int | None:
    """Return the least turn about z in degrees at which the outline fits, None if there is none."""
    corners = hull(
        np.concatenate(
            [hull(block.reshape(-1, 3)[:, :2].astype(np.float64)) for block in part.source.blocks()]
        )
    )
    for degrees in range(_TURN_STEP_DEG, 180, _TURN_STEP_DEG):
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turned = corners @ np.array([[cosine, sine], [-sine, cosine]])
        if (turned.max(axis=0) - turned.min(axis=0) <= room[:2]).all():
            return degrees
    return None


def _height(part: Part) -> list[MeshFinding]:
    height, least = float(part.survey.size[2]), 2 * part.limits.layer_mm
    if height >= least - 1e-6:
        return []
    return [
        MeshFinding(
            "size.too_flat",
            Severity.ERROR,
            f"it is {height:.3g} mm high, two layers are {least:g} mm",
            "make it higher, or print it standing",
            measured=height,
            limit=least,
            unit="mm",
        )
    ]


def _precision(part: Part) -> list[MeshFinding]:
    far = float(np.abs(np.concatenate([part.survey.low, part.survey.high])).max())
    if far <= _FAR_MM:
        return []
    step = float(np.spacing(np.float32(far)))
    return [
        MeshFinding(
            "size.far_away",
            Severity.INFO,
            f"coordinates reach {far:.0f} mm, where float32 moves in steps of {step:.2g} mm",
            "move the part to the origin before exporting",
            measured=far,
            limit=_FAR_MM,
            unit="mm",
        )
    ]
