"""Which profile fits a printer that said its name, and a profile for one that no file describes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.domain.errors import UsageError
from agent.slicing.printer_document import ProfileDocument
from agent.slicing.profile_files import ProfileKind, find_file
from agent.slicing.profiles import ProfileEntry, list_profiles
from agent.slicing.toml_text import toml_text
from agent.toml_document import TomlDocument
from agent.toml_validation import validate

GENERIC = "generic-220"
"""What a printer of unknown make is met with: cautious limits."""
_WORD = re.compile(r"[a-z]+|\d+")
_MAKERS = frozenset({"prusa", "generic", "creality", "corexy"})


@dataclass(frozen=True, slots=True)
class Measures:
    """What a maker knows about a printer; lengths in mm, temperatures in °C, `max_bed_c` 0 without a heated bed."""

    title: str
    volume_mm: tuple[float, float, float]
    nozzle_mm: float
    max_nozzle_c: float
    max_bed_c: float


def usable_profiles(search: Sequence[Path]) -> list[ProfileEntry]:
    """Return the printer profiles that can be used."""
    return [entry for entry in list_profiles(search) if not entry.error]


def suggested(machine: str, entries: Sequence[ProfileEntry]) -> str | None:
    """Return the profile whose name is all in what the firmware calls its machine; None when none is."""
    said = set(_WORD.findall(machine.lower()))
    best: tuple[int, str] | None = None
    for entry in entries:
        wanted = set(_WORD.findall(entry.name)) - _MAKERS
        if wanted and wanted <= said:
            best = max(best or (0, ""), (len(wanted), entry.name))
    return best[1] if best else None


def parse_volume(text: str) -> tuple[float, float, float]:
    """Read WIDTHxDEPTHxHEIGHT in mm, such as 220x220x250. Raises UsageError."""
    parts = re.split(r"[x*, ]+", text.strip().lower().removesuffix("mm").strip())
    try:
        width, depth, height = (float(part) for part in parts)
    except ValueError:
        raise UsageError(
            f"{text!r} is no volume", code="bad_volume", remedy="write it as 220x220x250, in millimetres"
        ) from None
    return width, depth, height


def profile_text(measures: Measures, search: Sequence[Path]) -> str:
    """Return a profile as TOML: the generic one with these measures. Raises ConfigError naming what cannot be."""
    with find_file(ProfileKind.PRINTER, GENERIC, search).open("rb") as file:
        document: dict[str, Any] = tomllib.load(file)
    width, depth, _ = measures.volume_mm
    document["title"] = measures.title
    document["geometry"] = {
        "volume_mm": list(measures.volume_mm),
        "nozzle_mm": measures.nozzle_mm,
        "extruders": 1,
    }
    document["heaters"] = {"hotend": {"max_c": measures.max_nozzle_c}}
    if measures.max_bed_c:
        document["heaters"]["bed"] = {"max_c": measures.max_bed_c}
    document["park"]["position_mm"] = [min(10.0, width), max(0.0, depth - 20)]
    text = toml_text(
        document, "Made by fabunit setup. Speeds and accelerations are cautious; see docs/profiles.md."
    )
    validate(TomlDocument.parse(text.encode(), "the new profile"), ProfileDocument)
    return text
