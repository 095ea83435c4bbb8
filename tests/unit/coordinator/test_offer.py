"""What a unit offers, and that orders are matched with exactly that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from agent.coordinator.documents import parse_unit
from agent.coordinator.offer import MAX_PROFILES, capabilities, offered_profiles
from agent.domain.profile import HeaterLimits
from agent.paths import profiles_dirs
from tests.unit.coordinator.bench import PROFILE, TOPICS, bench, job_payload

MESHES = ("gcode", "stl", "3mf")


def test_a_unit_without_a_slicer_offers_its_printer_alone() -> None:
    assert offered_profiles("generic-220", ("gcode",), profiles_dirs()) == ("generic-220",)


def test_a_slicing_unit_offers_each_material_in_each_quality() -> None:
    offered = offered_profiles("generic-220", MESHES, profiles_dirs())
    assert offered[0] == "generic-220"
    assert "generic-220/petg/fine" in offered
    assert len(set(offered)) == len(offered)


def test_a_huge_collection_is_cut(tmp_path: Path) -> None:
    for kind in ("materials", "qualities"):
        (tmp_path / kind).mkdir()
        for number in range(30):
            (tmp_path / kind / f"p{number}.toml").write_text("")
    assert len(offered_profiles("x", MESHES, [tmp_path])) == MAX_PROFILES


def test_capabilities_are_those_of_the_machine() -> None:
    plain = capabilities(PROFILE, ("gcode",))
    assert "heated_bed" in plain
    assert {"heated_chamber", "multi_extruder", "slicing", "eject"}.isdisjoint(plain)
    big = dataclasses.replace(PROFILE, chamber=HeaterLimits(60.0), extruders=2)
    assert {"heated_chamber", "multi_extruder", "slicing", "eject"} <= set(
        capabilities(big, MESHES, is_ejecting=True)
    )


async def test_orders_are_matched_with_what_the_description_says(tmp_path: Path) -> None:
    async with bench(tmp_path, formats=MESHES) as made:
        await made.online()
        message = made.network.last.on(TOPICS.description)[0]
        unit = parse_unit(message.payload, message.content_type)
        assert "generic-220/pla/standard" in unit.profiles
        assert "slicing" in unit.capabilities
        fitting = {"profiles": ["other", unit.profiles[-1]], "capabilities": list(unit.capabilities)}
        assert (await made.job(job_payload("fits", require=fitting))).status == "accepted"
        wanting = {"capabilities": ["heated_chamber"]}
        refused = await made.job(job_payload("wants", require=wanting))
        assert (refused.code, refused.state) == ("requirement", "rejected")
