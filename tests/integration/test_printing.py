"""Whole prints through real processes: CLI socket, queue, gate, printer thread, pseudo-terminal, firmware model."""

from __future__ import annotations

import pytest

from agent.domain.errors import RefusedError, UsageError
from tests.integration.rig import Rig, commands, spiral


def test_a_print_executes_every_line_of_the_file_once_and_in_order(rig: Rig) -> None:
    part = spiral(1500)
    rig.start_printer()
    rig.start_daemon()
    job = rig.until_ended(rig.submit(part))
    assert job["state"] == "completed"
    assert rig.executed() == commands(part)
    status = rig.status()
    assert status is not None
    assert status["bed"] == "occupied"


def test_nothing_starts_on_a_bed_nobody_cleared(rig: Rig) -> None:
    part = spiral(50)
    rig.start_printer()
    rig.start_daemon()
    rig.until_ended(rig.submit(part))
    second = rig.submit(part)
    rig.until(lambda: rig.job(second)["state"] == "ready", "the second job is ready")
    assert rig.executed() == commands(part)
    rig.client.post("/v1/bed/clear")
    assert rig.until_ended(second)["state"] == "completed"
    assert rig.executed() == commands(part) * 2


def test_pause_parks_and_resume_goes_on_at_the_very_line(rig: Rig) -> None:
    part = spiral(4000)
    rig.start_printer(speed=30)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until(lambda: len(rig.executed()) > 500, "the print is under way")
    rig.client.post("/v1/print/pause")
    rig.until_state("paused")
    assert rig.job(job_id)["state"] == "paused"
    before = rig.executed()
    parked = rig.host_commands()
    assert any(command.startswith("G1 E-") for command in parked)
    assert any(command.startswith("G1 X10 Y200") for command in parked)
    rig.client.post("/v1/print/resume")
    assert rig.until_ended(job_id)["state"] == "completed"
    after = rig.executed()
    assert after[: len(before)] == before
    assert after == commands(part)
    restored = rig.host_commands()[len(parked) :]
    for expected in ("M109 T0 S205", "M190 S60", "M83", "G90", "G1 F3000"):
        assert expected in restored


def test_cancel_cools_down_and_parks(rig: Rig) -> None:
    rig.start_printer(speed=30)
    rig.start_daemon()
    job_id = rig.submit(spiral(20_000))
    rig.until(lambda: len(rig.executed()) > 300, "the print is under way")
    rig.client.post("/v1/print/cancel")
    assert rig.until_ended(job_id)["state"] == "cancelled"
    sent = rig.host_commands()
    assert sent[sent.index("M104 S0") :][:4] == ["M104 S0", "M140 S0", "M107", "M84"]
    rig.until_state("idle")


def test_cancel_works_while_the_nozzle_heats_up(rig: Rig) -> None:
    rig.start_printer(speed=1)
    rig.start_daemon()
    job_id = rig.submit(spiral(100))
    rig.until(lambda: any(c.startswith("M190") for c in rig.executed()), "the bed heats up")
    rig.client.post("/v1/print/cancel")
    assert rig.until_ended(job_id, 10)["state"] == "cancelled"
    assert "M108" in rig.host_commands()
    assert "M140 S0" in rig.host_commands()


def test_emergency_stop_reaches_the_heaters_although_the_queue_is_full(rig: Rig) -> None:
    rig.start_printer(speed=1)
    rig.start_daemon()
    job_id = rig.submit(spiral(5000, heat=False))
    rig.until(lambda: len(rig.executed()) > 30, "the planner is full")
    rig.client.post("/v1/stop")
    assert rig.until_ended(job_id)["reason"] == "emergency_stop"
    rig.until_state("halted")
    stops = [entry for entry in rig.entries() if entry.get("event") == "stop"]
    assert len(stops) == 1
    assert stops[0]["delay_s"] <= 0.05


@pytest.mark.parametrize("heating", ["M190", "M109"])
def test_emergency_stop_switches_the_heaters_off_in_the_middle_of_a_heat_up(rig: Rig, heating: str) -> None:
    """Within 0.1 s of being written, although the firmware is in a blocking command."""
    rig.start_printer(speed=1)
    rig.start_daemon()
    moves = "\n".join(f"G1 X{50 + index % 50} Y50 F3000" for index in range(500))
    job_id = rig.submit(f"G21\nG90\nM83\nG28\n{heating} S100\n{moves}\nM104 S0\nM140 S0\n")
    rig.until(lambda: any(command.startswith(heating) for command in rig.executed()), f"{heating} runs")
    rig.client.post("/v1/stop")
    assert rig.until_ended(job_id)["reason"] == "emergency_stop"
    (stop,) = [entry for entry in rig.entries() if entry.get("event") == "stop"]
    assert stop["delay_s"] + stop["wire_s"] <= 0.1
    assert rig.executed()[-1].startswith(heating)


def test_a_halted_printer_is_found_again_after_a_reset(rig: Rig) -> None:
    rig.start_printer()
    rig.start_daemon()
    rig.until_state("idle")
    rig.client.post("/v1/stop")
    rig.until_state("halted")
    rig.tell_printer("reset")
    rig.client.post("/v1/printer/connect")
    rig.until_state("idle")
    part = spiral(20, heat=False)
    assert rig.until_ended(rig.submit(part))["state"] == "completed"
    assert rig.executed() == commands(part)


def test_a_prompt_of_the_firmware_reaches_the_person_and_the_answer_the_firmware(rig: Rig) -> None:
    rig.start_printer()
    rig.start_daemon()
    part = spiral(50, heat=False).replace("G92 E0", "G92 E0\nM0 Take the magnet out")
    job_id = rig.submit(part)
    rig.until_state("attention")
    status = rig.status()
    assert status is not None
    assert "magnet" in status["printer"]["prompt"]["text"]
    rig.client.post("/v1/prompt", {"choice": 0})
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)


def test_temperatures_above_the_limit_never_reach_the_printer(rig: Rig) -> None:
    rig.start_printer()
    rig.start_daemon()
    rig.until_state("idle")
    for line in ("M104 S400", "m104s400", "M109 R400", "M140 S999", "M105\nM104 S300", "M104 S200 M104 S400"):
        with pytest.raises((RefusedError, UsageError)):
            rig.client.post("/v1/console", {"line": line})
    with pytest.raises(RefusedError):
        rig.client.post("/v1/printer/heat", {"heater": "T0", "celsius": 400})
    job = rig.until_ended(rig.submit(spiral(5).replace("M104 S205", "M104 S400")))
    assert (job["state"], job["reason"]) == ("rejected", "gate_refused")
    assert not [c for c in rig.host_commands() + rig.executed() if c.startswith(("M104", "M109", "M140"))]


def test_a_runaway_heater_ends_the_print_with_the_reason(rig: Rig) -> None:
    rig.start_printer("--thermal-fault", "stuck", "--thermal-fault-after", "20", speed=30)
    rig.start_daemon()
    job = rig.until_ended(rig.submit(spiral(20_000)))
    assert job["state"] == "failed"
    assert job["reason"] in (
        "heater_stuck",
        "heater_falling",
        "printer_halted",
        "heater_silent",
        "heater_runaway",
    )
