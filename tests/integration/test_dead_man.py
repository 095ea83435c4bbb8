"""The firmware's dead-man timer, set by the daemon for the length of a print."""

from __future__ import annotations

from tests.integration.rig import Rig, commands, spiral

FAST = 300.0
"""Half an hour passes in six seconds for M85."""


def timers(rig: Rig) -> list[str]:
    """The settings of the timer, in order."""
    return [command for command in rig.host_commands() if command.startswith("M85")]


def test_a_print_whose_host_dies_for_good_cools_down_by_itself(rig: Rig) -> None:
    rig.start_printer("--dead-man-speed", str(FAST), speed=60)
    rig.start_daemon()
    rig.submit(spiral(100_000))
    rig.until_executed(300)
    assert timers(rig)[-1] == "M85 S1800"
    rig.kill_daemon()
    rig.until(
        lambda: any(entry.get("event") == "kill" for entry in rig.entries()), "the firmware has halted itself"
    )
    kill = next(entry for entry in rig.entries() if entry.get("event") == "kill")
    assert kill["cause"] == "inactive"


def test_a_daemon_that_comes_back_in_time_finds_the_printer_alive(rig: Rig) -> None:
    part = spiral(3000)
    rig.start_printer("--dead-man-speed", str(FAST), speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until_executed(300)
    rig.kill_daemon()
    rig.start_daemon()
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)
    assert timers(rig)[-1] == "M85 S0"


def test_an_ended_print_leaves_no_timer_behind(rig: Rig) -> None:
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(spiral(20_000))
    rig.until_executed(200)
    rig.client.post("/v1/print/cancel")
    assert rig.until_ended(job_id)["state"] == "cancelled"
    assert timers(rig)[-2:] == ["M85 S1800", "M85 S0"]


def test_a_print_that_waits_for_a_person_and_an_owner_who_wants_none_get_no_timer(rig: Rig) -> None:
    rig.start_printer()
    rig.start_daemon()
    job_id = rig.submit(spiral(50, heat=False).replace("G92 E0", "G92 E0\nM0 Take the magnet out"))
    rig.until_state("attention")
    rig.client.post("/v1/prompt", {"choice": 0})
    rig.until_ended(job_id)
    assert set(timers(rig)) == {"M85 S0"}
    rig.stop_daemon()
    before = len(timers(rig))
    rig.configure(dead_man_s=0)
    rig.start_daemon()
    rig.client.post("/v1/bed/clear")
    assert rig.until_ended(rig.submit(spiral(20)))["state"] == "completed"
    assert len(timers(rig)) == before
