"""Which slicing engines are installed, and which one to use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agent.domain.errors import UsageError
from agent.slicing.curaengine import CuraEngine
from agent.slicing.engine import Engine, FoundEngine
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.process import ProcessLimits, run_limited
from agent.slicing.programs import SEARCH, find_program
from agent.slicing.prusaslicer import PrusaSlicer

ENGINES: tuple[Engine, ...] = (PrusaSlicer(), CuraEngine())
PRUSASLICER_LEAST_MEMORY_BYTES = 1 << 30  # below, the light engine leaves more room for the print
# Asking for a version starts the whole program: seconds on a slow card.
_VERSION_LIMITS = ProcessLimits(cpu_s=30, file_bytes=1 << 20, wall_s=60.0, silence_s=60.0)


async def find_engines(
    engines: Sequence[Engine] = ENGINES, search: Sequence[str] = SEARCH
) -> list[tuple[Engine, FoundEngine]]:
    """Return the installed engines with their versions, the preferred one first.

    A program that does not answer with a version counts as not installed.
    """
    found: list[tuple[Engine, FoundEngine]] = []
    for engine in engines:
        path = find_program(engine.programs, search)
        seen = await _identify(engine, path) if path else None
        if seen is not None:
            found.append((engine, seen))
    return found


async def choose_engine(
    wanted: str,
    engines: Sequence[Engine] = ENGINES,
    search: Sequence[str] = SEARCH,
) -> tuple[Engine, FoundEngine]:
    """Return the engine of that name, or for `auto` the best one that is installed.

    UsageError for an unknown name, SliceError (engine_missing) when it is not installed or of an untried version.
    """
    names = [engine.name for engine in engines]
    if wanted not in (*names, "auto"):
        raise UsageError(f"no slicing engine {wanted!r}", remedy=f"known: {', '.join(names)}, auto")
    chosen = [engine for engine in engines if wanted in ("auto", engine.name)]
    found = await find_engines(chosen, search)
    usable = [pair for pair in found if pair[1].is_supported]
    if not usable:
        if found:
            seen = found[0][1]
            message = f"{seen.name} {seen.version_text} at {seen.path} is not a version that fabunit knows"
        else:
            message = f"no slicer is installed ({', '.join(engine.name for engine in chosen)})"
        raise SliceError(SliceFailure.ENGINE_MISSING, message)
    if wanted == "auto" and machine_memory_bytes() < PRUSASLICER_LEAST_MEMORY_BYTES:
        usable.sort(key=lambda pair: pair[0].memory_need_bytes(0))
    return usable[0]


async def _identify(engine: Engine, path: Path) -> FoundEngine | None:
    with tempfile.TemporaryDirectory(prefix="fabunit-version-") as scratch:
        heard: list[str] = []
        try:
            await run_limited(
                [str(path), *engine.version_arguments],
                Path(scratch),
                _VERSION_LIMITS,
                on_line=heard.append,
            )
        except SliceError:
            return None
    version = engine.read_version("\n".join(heard))
    if version is None:
        return None
    return FoundEngine(engine.name, path, version, engine.is_supported(version))


def machine_memory_bytes() -> int:
    """Return how much memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
