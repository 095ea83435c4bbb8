"""What a unit offers, and that orders are matched with exactly that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agent.coordinator.documents import parse_unit
from agent.coordinator.offer import MAX_PROFILES, capabilities, offered_profiles
from agent.coordinator_settings import CoordinatorSettings
from agent.domain.profile import HeaterLimits
from agent.paths import profiles_dirs
from tests.unit.coordinator.bench import PROFILE, TOPICS, bench, job_payload, until

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


async def test_the_description_tells_what_is_left_now(tmp_path: Path) -> None:
    materials = [{"slot": "T0", "material": "PLA", "left_g": 500.0}]
    async with bench(tmp_path, materials=materials) as made:
        await made.online()

        def told() -> float | None:
            message = made.network.last.on(TOPICS.description)[-1]
            return parse_unit(message.payload, message.content_type).materials[0].left_g

        assert told() == 500.0
        assert (await made.job(job_payload("more", require={"material_g": 120}))).status.value == "accepted"
        await made.coordinator.spools.refill("T0", 80.0)
        made.coordinator._link._reporter.forget()  # type: ignore[union-attr]
        await until(lambda: told() == 80.0)
        refused = await made.job(job_payload("too-much", require={"material_g": 120}))
        assert (refused.code, "require.material_g" in refused.detail) == ("requirement", True)


def test_two_spools_in_one_slot_are_refused() -> None:
    materials = [{"material": "PLA"}, {"material": "PETG"}]
    with pytest.raises(ValueError, match="slot of its own"):
        CoordinatorSettings.model_validate({"url": "mqtts://b", "materials": materials})
