"""Parts, printer classes and engines, each with each: no false refusal, and times that are right."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from agent.slicing.engines import find_engines
from benchmarks.parts import CORPUS, made_parts, real_parts
from benchmarks.slicing_matrix import PRINTERS, Slice, matrix

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

INSTALLED = [found.name for _, found in asyncio.run(find_engines()) if found.is_supported]
LEAST_PARTS = 10
"""For each engine and printer; not every part fits on the small one."""
MOST_FROM_ENGINE_PERCENT = 1.5
MOST_FROM_PLANNER_PERCENT = 1.0
LEAST_PLANNED = 18


def parts(kind: str, folder: Path) -> list[Path]:
    if kind == "made":
        return made_parts(folder)
    found = real_parts()
    if not found:
        pytest.skip(f"no corpus of meshes in {CORPUS}; FABUNIT_CORPUS names another place")
    return found


def told(found: list[Slice]) -> str:
    """Every row in question, so that a single failure can be understood afterwards."""
    return "\n" + "\n".join(one.row() for one in found)


def beyond(found: list[Slice], figure: str, most_percent: float) -> list[Slice]:
    values = [(one, getattr(one, figure)) for one in found]
    return [one for one, value in values if value is not None and abs(value) >= most_percent]


@pytest.mark.skipif(not INSTALLED, reason="no slicer here")
@pytest.mark.parametrize("kind", ["made", "real"])
async def test_all_that_is_sliced_passes_with_the_right_times(kind: str, tmp_path: Path) -> None:
    found = await matrix(parts(kind, tmp_path), PRINTERS, "draft")
    refused = [one for one in found if one.problem]
    assert not refused, told(refused)
    cells = Counter((one.engine, one.printer) for one in found)
    assert all(cells[engine, printer] >= LEAST_PARTS for engine in INSTALLED for printer in PRINTERS), cells
    off = beyond(found, "from_same_rule", MOST_FROM_ENGINE_PERCENT)
    assert not off, told(off)
    off = beyond(
        [one for one in found if one.engine == "prusaslicer"], "from_engine", MOST_FROM_ENGINE_PERCENT
    )
    assert not off, told(off)
    assert sum(one.from_planner is not None for one in found) >= LEAST_PLANNED * len(INSTALLED)
    off = beyond(found, "from_planner", MOST_FROM_PLANNER_PERCENT)
    assert not off, told(off)
