"""What a unit offers, and that orders are matched with exactly that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.coordinator.documents import parse_unit
from agent.coordinator.offer import MAX_PROFILES, capabilities, offered_profiles
from agent.coordinator_settings import CoordinatorSettings
from agent.domain.artefact import Metadata, Prepared
from agent.domain.profile import HeaterLimits
from agent.domain.spool import g_per_mm
from agent.paths import profiles_dirs
from agent.storage import jobs as job_rows
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
    big = replace(PROFILE, chamber=HeaterLimits(60.0), extruders=2)
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


async def test_what_the_queue_will_take_is_not_promised_again(tmp_path: Path) -> None:
    """By what orders ask for until their files are checked, then by what the files need; a new revision replaces."""
    materials = [
        {"slot": "T0", "material": "PLA", "color": "black", "left_g": 500.0},
        {"slot": "T1", "material": "PETG", "left_g": 100.0},
    ]

    def wish(grams: float, material: str = "PLA") -> dict[str, object]:
        return {"material_g": grams, "material": material}

    async with bench(tmp_path, materials=materials) as made:
        await made.online()

        async def order(name: str, grams: float, rev: int = 1, **fields: object) -> str:
            fields = {"require": wish(grams), **fields}
            return (await made.job(job_payload(name, rev, **fields))).detail

        async def promised_g() -> list[float]:
            return [part.promised_g for part in await made.coordinator.spools.parts(besides="")]

        assert await order("first", 300.0) == ""
        assert "200 g are left that are not promised" in await order("second", 250.0)
        assert await order("other", 90.0, require=wish(90.0, "petg")) == ""
        assert await promised_g() == [300.0, 90.0]
        assert await order("first", 450.0, 2) == "", "its own earlier revision is in its way"
        assert await promised_g() == [450.0, 90.0]
        job = replace(await made.queue.get("first"), filament_mm=40_000.0, copies=3, copies_done=1)
        await made.database.run(lambda connection: job_rows.update(connection, job))
        assert await promised_g() == [pytest.approx(80_000 * g_per_mm("PLA"), abs=0.1), 90.0]
        await made.queue.cancel("first")
        assert await promised_g() == [0.0, 90.0]
        assert await order("second", 250.0, 2) == ""


def file_that_takes(length_mm: float) -> Prepared:
    summary = {"analysis": {"filament_mm": {"T0": length_mm}}}
    return Prepared("s", "p", 1, "x", 1, 1, 1, (0,), (0.0,), (), Metadata(), (), summary)


async def test_a_file_is_compared_with_what_the_jobs_ahead_leave(tmp_path: Path) -> None:
    materials = [{"slot": "T0", "material": "PLA", "left_g": 500.0}]
    async with bench(tmp_path, materials=materials) as made:
        await made.online()
        await made.job(job_payload("first", require={"material_g": 300.0}))
        await made.job(job_payload("second"))
        spools, file = made.coordinator.spools, file_that_takes(250.0 / g_per_mm("PLA"))
        assert (await spools.compare(await made.queue.get("first"), file)).findings == ()
        (found,) = (await spools.compare(await made.queue.get("second"), file)).findings
        assert (
            found.message
            == "about 250 g of T0 are needed, 500 g are left and the jobs ahead take 300 g of them"
        )
        await made.queue.cancel("first")
        assert (await spools.compare(await made.queue.get("second"), file)).findings == ()


def test_two_spools_in_one_slot_are_refused() -> None:
    materials = [{"material": "PLA"}, {"material": "PETG"}]
    with pytest.raises(ValueError, match="slot of its own"):
        CoordinatorSettings.model_validate({"url": "mqtts://b", "materials": materials})
