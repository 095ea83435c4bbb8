"""What happens around prints: ejection, a paused print that cools, a printer that has halted."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.integration.cli_runner import fabunit
from tests.integration.rig import Rig, commands, spiral

BUNDLED = Path(__file__).parents[2] / "slicer_profiles" / "printers" / "generic-220.toml"


def own_profile(rig: Rig, name: str, safety: str, tables: str = "") -> None:
    """Give the unit a profile of its own: a bundled one with another line of `[safety]`, and further tables."""
    key = safety.split(" ", 1)[0]
    text = re.sub(rf"(?m)^{key} = .*$", "", BUNDLED.read_text())
    assert "[safety]\n" in text
    folder = rig.folder / "etc" / "profiles" / "printers"
    folder.mkdir(parents=True)
    (folder / f"{name}.toml").write_text(text.replace("[safety]\n", f"[safety]\n{safety}\n", 1) + tables)
    rig.environ["CONFIGURATION_DIRECTORY"] = str(rig.folder / "etc")
    rig.configure(profile=name)


def test_a_proven_ejection_clears_the_bed_for_the_next_job(rig: Rig) -> None:
    script = ["G1 X110 Y215 F6000", "G1 Y0 F3000"]
    own_profile(rig, "ejecting", "ejects = true", f"[scripts]\neject = {json.dumps(script)}\n")
    rig.config.write_text(rig.config.read_text() + '[queue]\nbed_clear = "eject"\n')
    rig.start_printer()
    rig.start_daemon()
    first, second = spiral(60), spiral(80, seed=5)
    jobs = [rig.submit(first), rig.submit(second, "next.gcode")]
    for job_id in jobs:
        assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(first) + commands(second)
    sent = [command for command in rig.host_commands() if command in script]
    assert sent == script * 2
    ledger = [entry["cmd"] for entry in rig.commands()]
    push = ledger.index("G1 Y0 F3000")
    assert ledger.index(commands(first)[-1]) < push < ledger.index("G28", ledger.index("G28") + 1)
    beds = [event["state"] for event in rig.client.get("/v1/events")["events"] if event["type"] == "bed"]
    assert beds == ["occupied", "clear", "occupied", "clear"]


def test_a_paused_nozzle_cools_while_the_bed_stays_warm_and_resume_heats_it_again(rig: Rig) -> None:
    own_profile(rig, "hasty", "idle_timeout_s = 30")
    rig.start_printer(speed=60)  # 30 s of idleness are half a second for a printer that runs 60 times faster
    rig.start_daemon()
    part = spiral(1500)
    job_id = rig.submit(part)
    rig.until_executed(200)
    rig.client.post("/v1/print/pause")
    rig.until_state("paused")
    before = len(rig.host_commands())
    rig.until(lambda: "M104 S0" in rig.host_commands()[before:], "the nozzle is switched off")

    def targets() -> tuple[float, float]:
        status = rig.status()
        assert status is not None
        heaters = status["printer"]["temperatures"]
        return heaters["T0"]["target"], heaters["B"]["target"]

    rig.until(lambda: targets() == (0.0, 60.0), "only the bed is heated")
    assert rig.job(job_id)["state"] == "paused"
    rig.client.post("/v1/print/resume")
    assert rig.until_ended(job_id)["state"] == "completed"
    sent = rig.host_commands()[before:]
    assert sent.index("M104 S0") < sent.index("M104 T0 S205") < sent.index("M109 T0 S205")
    assert rig.executed() == commands(part)


def test_a_queue_at_a_halted_printer_says_why_and_what_mends_it(rig: Rig) -> None:
    rig.start_printer()
    rig.start_daemon()
    rig.until_state("idle")
    rig.client.post("/v1/stop")
    rig.until_state("halted")
    rig.submit(spiral(20))

    def listed() -> str:
        return fabunit("jobs", socket=rig.socket).out

    rig.until(
        lambda: "a job is ready but the printer is halted" in listed(), "the queue says why nothing happens"
    )
    assert "fabunit printer connect" in listed()
