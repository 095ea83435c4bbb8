from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.mesh.examine import Examination, Order, examine
from agent.mesh.limits import Limits, derive
from tests.unit.mesh.shapes import Mesh, stl, write

Examine = Callable[..., Examination]


@pytest.fixture(scope="session")
def profile() -> PrinterProfile:
    return PrinterProfile(
        name="big",
        title="A big printer",
        digest="d" * 64,
        volume_mm=(400.0, 400.0, 400.0),
        nozzle_mm=0.4,
        extruders=1,
        hotend=HeaterLimits(280.0),
        bed=HeaterLimits(110.0),
        chamber=None,
    )


@pytest.fixture(scope="session")
def limits(profile: PrinterProfile) -> Limits:
    return replace(derive(profile), overhang_deg=45.0)


@pytest.fixture
def check(limits: Limits, tmp_path: Path) -> Examine:
    """Examine a mesh, bytes or a file; returns the examination."""

    def run(thing: Mesh | bytes | Path, name: str = "part.stl", **order: Any) -> Examination:
        path = (
            thing
            if isinstance(thing, Path)
            else write(tmp_path, name, thing if isinstance(thing, bytes) else stl(thing))
        )
        order.setdefault("limits", limits)
        return examine(
            Order(path, name if not isinstance(thing, Path) else path.name, **order), lambda *_: None
        )

    return run


def finding(found: Examination, identity: str) -> dict[str, Any]:
    """The finding of that id; fails when there is none."""
    matches = [one for one in found.document["findings"] if one["id"] == identity]
    assert matches, f"no {identity} in {ids(found)}"
    match = matches[0]
    assert isinstance(match, dict)
    return match


def ids(found: Examination, *severities: str) -> set[str]:
    """The ids of the findings, of some severities only."""
    return {
        one["id"] for one in found.document["findings"] if not severities or one["severity"] in severities
    }
