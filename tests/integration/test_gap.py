"""How long nobody was at the printer decides whether a print goes on at once."""

from __future__ import annotations

import pytest

from tests.integration.rig import Rig, commands, spiral


def printing(rig: Rig, part: str) -> str:
    """A print under way on a unit that asks after every gap."""
    rig.configure(resume_gap_s=0)
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until_executed(300)
    return job_id


def test_after_a_long_gap_the_nozzle_is_lifted_and_a_person_asked(rig: Rig) -> None:
    part = spiral(3000)
    job_id = printing(rig, part)
    rig.kill_daemon()
    rig.start_daemon()
    rig.until_state("paused")
    line = len(rig.executed())
    job = rig.job(job_id)
    assert (job["state"], job["reason"]) == ("paused", "long_gap")
    assert f"resume` prints on behind line {line}" in job["detail"]
    assert "nobody was at the printer for" in job["detail"]
    assert "fabunit cancel" in job["detail"]
    lifted = rig.host_commands()
    assert lifted[lifted.index("G91") :][:4] == ["G91", "G1 Z10 F600", "G90", "G1 X10 Y200 F6000"]
    rig.kill_daemon()  # the question outlives the next kill, too
    rig.start_daemon()
    rig.until_state("paused")
    status = rig.status()
    assert status is not None
    assert (rig.job(job_id)["detail"], status["printer"]["detail"]) == (job["detail"], job["detail"])
    assert rig.host_commands().count("G1 Z10 F600") == 1
    rig.client.post("/v1/print/resume")
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)


def test_a_gap_nobody_can_measure_counts_as_long(rig: Rig) -> None:
    job_id = printing(rig, spiral(20_000))
    rig.kill_daemon()
    rig.configure()
    (rig.state / "contact.json").unlink()
    (rig.socket.parent / "contact.json").write_text("not the note of this print")
    rig.start_daemon()
    rig.until_state("paused")
    job = rig.job(job_id)
    assert job["reason"] == "long_gap"
    assert "an unknown time" in job["detail"]
    rig.client.post("/v1/print/cancel")
    assert rig.until_ended(job_id)["state"] == "cancelled"


def test_a_pulled_cable_leaves_a_gap_too(rig: Rig) -> None:
    part = spiral(3000)
    job_id = printing(rig, part)
    rig.tell_printer("unplug")
    rig.until_state("connecting")
    rig.tell_printer("replug")
    rig.until_state("paused")
    assert rig.job(job_id)["reason"] == "long_gap"
    rig.client.post("/v1/print/resume")
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)


@pytest.mark.parametrize("signal", ["kill", "stop"])
def test_a_short_gap_is_no_reason_to_ask(rig: Rig, signal: str) -> None:
    part = spiral(2000)
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    rig.until_executed(300)
    if signal == "kill":
        rig.kill_daemon()
    else:
        rig.stop_daemon()
        (rig.socket.parent / "contact.json").unlink()  # as systemd removes the runtime directory
    rig.start_daemon()
    assert rig.until_ended(job_id)["state"] == "completed"
    assert rig.executed() == commands(part)
    assert "G1 X10 Y200 F6000" not in rig.host_commands()
