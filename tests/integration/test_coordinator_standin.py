"""The real daemon and the stand-in coordinator over a real broker: orders in, prints, records out."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.coordinator.standin import orders
from agent.coordinator.standin.broker import find_mosquitto
from agent.coordinator.standin.pushing import Wishes
from agent.slicing.programs import has_engine
from tests.integration.rig import Rig, commands, spiral
from tests.integration.workshop import Workshop, all_arrived, completed, ready
from tests.unit.slicing.solids import box, save

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


def test_a_signed_order_is_fetched_printed_and_reported(rig: Rig, workshop: Workshop, tmp_path: Path) -> None:
    part = tmp_path / "ordered.gcode"
    part.write_text(spiral(300))
    ready(rig, workshop)
    unsigned = workshop.push(part, Wishes(is_signed=False))
    job_id = workshop.push(part)
    completed(rig, workshop, job_id)
    assert rig.executed() == commands(part.read_text())
    assert rig.job(job_id)["source"] == "coordinator"
    assert workshop.state(unsigned) in (None, orders.REFUSED)
    assert workshop.command("bed_clear") == "done"
    assert workshop.command("heat") == "failed", "its owner has not allowed it"
    all_arrived(rig, workshop)


@pytest.mark.skipif(not has_engine("auto"), reason="no slicer is installed here")
def test_an_ordered_mesh_is_fetched_checked_sliced_and_printed(
    rig: Rig, workshop: Workshop, tmp_path: Path
) -> None:
    part = save(tmp_path / "ordered.stl", box(20, 20, 2))
    ready(rig, workshop, speed=2000)
    job_id = workshop.push(part, Wishes(material="PLA", quality="draft", is_signed=True))
    completed(rig, workshop, job_id)
    told = [event for event in rig.client.get("/v1/events")["events"] if event["job_id"] == job_id]
    states = [event["state"] for event in told if event["type"] == "job"]
    assert states == [
        "received", "fetching", "checking", "slicing", "verifying", "ready", "printing", "completed",
    ]  # fmt: skip
    job = rig.job(job_id)
    assert job["mesh"]["slice"]["quality"] == "draft"
    prepared = (rig.state / "prepared" / f"{job['prepared_sha256']}.gcode").read_text()
    assert rig.executed() == commands(prepared)
    all_arrived(rig, workshop)


def test_kills_on_both_sides_print_every_order_once(rig: Rig, workshop: Workshop, tmp_path: Path) -> None:
    ready(rig, workshop)
    expected: list[str] = []
    for number in range(3):
        part = tmp_path / f"part-{number}.gcode"
        part.write_text(spiral(120, heat=False, seed=number * 17))
        expected += commands(part.read_text())
        job_id = workshop.push(part)
        if number % 2 == 0:
            rig.kill_daemon()
            rig.start_daemon()
        else:
            workshop.end()
            workshop.start()
        completed(rig, workshop, job_id)
        assert workshop.command("bed_clear") == "done"
    assert rig.executed() == expected
    all_arrived(rig, workshop)
