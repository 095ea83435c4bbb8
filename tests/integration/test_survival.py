"""What happens to a print when the daemon dies, the cable is pulled or the board restarts."""

from __future__ import annotations

import random

import pytest

from tests.integration.rig import Rig, commands, spiral


def test_a_daemon_killed_again_and_again_finishes_the_same_print_exactly(rig: Rig) -> None:
    part = spiral(12_000)
    rig.start_printer(speed=60)
    rig.start_daemon()
    rng = random.Random(7)
    job_id = rig.submit(part)
    threshold = 200
    for _ in range(5):
        threshold += rng.randrange(300, 1800)
        rig.until_executed(threshold)
        rig.kill_daemon()
        rig.start_daemon()
    job = rig.until_ended(job_id)
    assert job["state"] == "completed", job
    assert rig.executed() == commands(part)


def test_a_daemon_killed_during_heat_up_takes_the_print_over(rig: Rig) -> None:
    part = spiral(500)
    rig.start_printer(speed=20)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until(lambda: "M190 S60" in rig.executed(), "the bed heats up")
    rig.kill_daemon()
    rig.start_daemon()
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)


def test_a_paused_print_is_still_paused_after_a_kill_and_resumes_exactly(rig: Rig) -> None:
    part = spiral(3000)
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until(lambda: len(rig.executed()) > 400, "the print is under way")
    rig.client.post("/v1/print/pause")
    rig.until_state("paused")
    rig.kill_daemon()
    rig.start_daemon()
    rig.until_state("paused")
    assert rig.job(job_id)["state"] == "paused"
    rig.client.post("/v1/print/resume")
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)


def test_an_orderly_stop_leaves_a_print_that_the_next_daemon_finishes(rig: Rig) -> None:
    part = spiral(6000)
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until(lambda: len(rig.executed()) > 500, "the print is under way")
    assert rig.stop_daemon() == 0
    stopped_at = len(rig.executed())
    rig.start_daemon()
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)
    assert stopped_at < len(commands(part))


def test_a_pulled_cable_is_no_end_of_the_print(rig: Rig) -> None:
    part = spiral(5000)
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until(lambda: len(rig.executed()) > 500, "the print is under way")
    rig.tell_printer("unplug")
    rig.until_state("connecting")
    rig.tell_printer("replug")
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)


@pytest.mark.parametrize("when", ["while printing", "while the daemon is away"])
def test_a_board_that_was_reset_is_never_resumed(rig: Rig, when: str) -> None:
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(spiral(20_000))
    rig.until(lambda: len(rig.executed()) > 500, "the print is under way")
    if when == "while the daemon is away":
        rig.kill_daemon()
        rig.tell_printer("reset")
        before = len(rig.executed())
        rig.start_daemon()
    else:
        rig.tell_printer("reset")
        before = len(rig.executed())
    job = rig.until_ended(job_id)
    assert (job["state"], job["reason"]) == ("failed", "printer_reset")
    assert len(rig.executed()) <= before + 4


def test_a_dead_board_fails_the_print(rig: Rig) -> None:
    rig.patience = {
        "agent.printer.pace.DEAD_TALKING_S": 3.0,
        "agent.printer.connector.FIRST_PATIENCE_S": 2.0,
        "agent.printer.print_run.UNANSWERED_LIMIT_S": 2.0,
    }
    rig.start_printer("--dead-after-lines", "400", speed=60)
    rig.start_daemon()
    job = rig.until_ended(rig.submit(spiral(5000, heat=False)), limit_s=90)
    assert job["state"] == "failed"
    assert job["reason"] in ("printer_silent", "port_lost")


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            ("--flip-in", "0.01", "--flip-out", "0.01"), marks=pytest.mark.slow
        ),  # test_chaos has it, too
        ("--drop-ok", "0.01", "--double-ok", "0.01"),
        ("--drop-bytes", "0.01", "--drop-bytes-out", "0.01"),
        ("--baud", "115200", "--latency-ms", "2", "--flip-in", "0.01"),
        ("--advanced-ok", "--flip-in", "0.01", "--drop-ok", "0.01"),
    ],
    ids=" ".join,
)
def test_a_noisy_line_costs_time_and_nothing_else(rig: Rig, faults: tuple[str, ...]) -> None:
    part = spiral(1200)
    rig.start_printer(*faults, speed=100)
    rig.start_daemon()
    job = rig.until_ended(rig.submit(part), limit_s=60)
    assert job["state"] == "completed", job
    assert rig.executed() == commands(part)
    print_id = rig.client.get("/v1/prints")["prints"][0]["print_id"]
    stats = rig.client.get(f"/v1/prints/{print_id}/receipt")["receipt"]["stats"]
    assert stats["resends"] + stats["timeouts"] > 0, "the receipt hides what the line has cost"
