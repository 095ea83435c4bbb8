"""Slicing programs: needed for meshes only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok
from agent.slicing.engines import find_engines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.slicing.engine import FoundEngine


@dataclass(frozen=True, slots=True)
class SlicerFacts:
    """The engines that are installed, the preferred one first."""

    found: Sequence[FoundEngine]


def look() -> SlicerFacts:
    """Start each slicer once for its version."""
    return SlicerFacts([engine for _, engine in asyncio.run(find_engines())])


def judge(facts: SlicerFacts) -> list[Finding]:
    """Return what is wrong."""
    if not facts.found:
        return [
            Finding(
                "slicer",
                Level.NOTE,
                "no slicer is installed: G-code prints, meshes (STL, 3MF) wait",
                "sudo apt install prusa-slicer   (below 1 GB of memory: cura-engine)",
            )
        ]
    return [
        ok("slicer", f"{engine.name} {engine.version_text} at {engine.path}")
        if engine.is_supported
        else Finding(
            "slicer",
            Level.WARNING,
            f"{engine.name} {engine.version_text} at {engine.path} is a version nobody has tried with fabunit",
            "docs/slicing.md names the versions; install one of them",
        )
        for engine in facts.found
    ]
