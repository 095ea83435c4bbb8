"""Spools: what is loaded, and how much of it is left. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DENSITY_G_CM3 = {
    "PLA": 1.24,
    "PETG": 1.27,
    "ABS": 1.05,
    "ASA": 1.05,
    "PA": 1.12,
    "TPU": 1.21,
    "PC": 1.2,
    "PVA": 1.23,
    "HIPS": 1.04,
}
"""Of unfilled filaments, as the bundled materials have them; filled ones differ by up to a fifth."""
USUAL_DENSITY_G_CM3 = 1.24


@dataclass(frozen=True, slots=True)
class Spool:
    """What is in one slot (a tool such as `T0`, or a bay). `left_g` None: nobody has said how much there is."""

    slot: str
    material: str
    color: str = ""
    brand: str = ""
    left_g: float | None = None
    g_per_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What a print took from a slot; `left_g` is what remains, never below 0."""

    slot: str
    used_g: float
    left_g: float | None


@dataclass(frozen=True, slots=True)
class Need:
    """What a job in the queue will still take: of which material and colour, where that is known.

    `filament_mm` is the length its checked file tells, for all copies that remain; `stated_g` is what its order asks
    for, which counts while the file is not checked.
    """

    job_id: str
    material: str | None = None
    color: str | None = None
    filament_mm: float | None = None
    stated_g: float | None = None


def g_per_mm(material: str, density_g_cm3: float | None = None, diameter_mm: float = 1.75) -> float:
    """Return what a millimetre of a strand weighs; without a density by the material's name, `PLA+` like `PLA`."""
    family = next((name for name in DENSITY_G_CM3 if material.upper().startswith(name)), "")
    density = density_g_cm3 or DENSITY_G_CM3.get(family, USUAL_DENSITY_G_CM3)
    return density * math.pi / 4 * diameter_mm**2 / 1000


def slot_of(tool: str, spools: Sequence[Spool]) -> str | None:
    """Return the slot that feeds a tool: the one of its name, or the only one there is."""
    if len(spools) == 1:
        return spools[0].slot
    return tool if any(spool.slot == tool for spool in spools) else None


def promised(needs: Sequence[Need], spools: Sequence[Spool]) -> dict[str, float]:
    """Return grams by slot that jobs will take; a job that fits no slot, or whose need nobody knows, is left out."""
    grams: dict[str, float] = {}
    for need in needs:
        spool = spools[0] if len(spools) == 1 else _fitting(need, spools)
        if spool is None:
            continue
        weight_g = need.stated_g if need.filament_mm is None else need.filament_mm * spool.g_per_mm
        if weight_g:
            grams[spool.slot] = grams.get(spool.slot, 0.0) + weight_g
    return grams


def _fitting(need: Need, spools: Sequence[Spool]) -> Spool | None:
    return next(
        (
            spool
            for spool in spools
            if is_same(need.material, spool.material) and is_same(need.color, spool.color)
        ),
        None,
    )


def is_same(wanted: str | None, there: str) -> bool:
    """Tell whether a wish for a material or a colour is met; no wish always is."""
    return wanted is None or wanted.casefold() == there.casefold()


def weighed(filament_mm: Mapping[str, float], spools: Sequence[Spool]) -> dict[str, float]:
    """Return grams by slot for millimetres by tool; a tool that no slot feeds is left out."""
    weight = {spool.slot: spool.g_per_mm for spool in spools}
    grams: dict[str, float] = {}
    for tool, length_mm in filament_mm.items():
        slot = slot_of(tool, spools)
        if slot is not None:
            grams[slot] = grams.get(slot, 0.0) + length_mm * weight[slot]
    return grams
