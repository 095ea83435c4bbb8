"""What a unit offers to those who order: profiles by name, and capabilities as words. Reads profile folders."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from agent.domain.profile import PrinterProfile
from agent.slicing.profile_files import ProfileKind, list_files

MESH_FORMATS = frozenset({"stl", "3mf", "obj", "ply"})
# A maker's collection of hundreds would not fit into one message; the printer's own name always does.
MAX_PROFILES = 200


def offered_profiles(printer: str, formats: Collection[str], search: Sequence[Path]) -> tuple[str, ...]:
    """Return the printer's name, and `printer/material/quality` for all it can slice with."""
    if not MESH_FORMATS & set(formats):
        return (printer,)
    materials, qualities = (
        sorted(list_files(kind, search)) for kind in (ProfileKind.MATERIAL, ProfileKind.QUALITY)
    )
    sliced = [f"{printer}/{material}/{quality}" for material in materials for quality in qualities]
    return (printer, *sliced[: MAX_PROFILES - 1])


def capabilities(
    profile: PrinterProfile, formats: Collection[str], *, is_ejecting: bool = False
) -> tuple[str, ...]:
    """Return what this unit has or does, for `require.capabilities`; the words are listed in docs/coordinator.md."""
    has = {
        "heated_bed": profile.bed is not None,
        "heated_chamber": profile.chamber is not None,
        "multi_extruder": profile.extruders > 1,
        "slicing": bool(MESH_FORMATS & set(formats)),
        "eject": is_ejecting,
        # Of every unit with this version.
        "signatures": True,
        "encrypted_files": True,
        "inline_files": True,
        "erase": True,
    }
    return tuple(word for word, is_there in has.items() if is_there)
