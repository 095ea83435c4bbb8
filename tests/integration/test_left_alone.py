"""A unit that nobody looks after: damaged files, a log that cannot be written, the machine's own state."""

from __future__ import annotations

import random

from tests.integration.rig import Rig, spiral


def test_garbage_in_every_file_of_the_state_directory_is_no_boot_loop(rig: Rig) -> None:
    rig.start_daemon()
    job_id = rig.submit(spiral(10))
    rig.until(lambda: rig.job(job_id)["state"] == "ready", "the job is checked")
    rig.until((rig.state / "reserve").exists, "the reserve is taken")
    rig.stop_daemon()
    rng = random.Random(7)
    files = [path for path in sorted(rig.state.rglob("*")) if path.is_file()]
    assert {path.name for path in files} >= {"fabunit.db", "fabunit.log", "lock", "reserve"}
    for path in files:
        path.write_bytes(rng.randbytes(5000))
    for name in ("contact.json", "telemetry.db", "fabunit.db-wal", "fabunit.db.backup"):
        (rig.state / name).write_bytes(rng.randbytes(5000))
    for _ in range(2):
        rig.start_daemon()
        status = rig.status()
        assert status is not None
        assert status["bed"] == "occupied", "what is on the bed is not known"
        events = rig.client.get("/v1/events", tail=50)["events"]
        assert [event["state"] for event in events if event["type"] == "unit"] == ["database_replaced"]
        rig.stop_daemon()
    assert len(list(rig.state.glob("fabunit.db.corrupt-*Z"))) == 1


def test_a_log_that_cannot_be_written_is_a_warning(rig: Rig) -> None:
    rig.state.mkdir(parents=True)
    (rig.state / "logs").write_text("a file where the folder should be")
    rig.start_daemon()
    status = rig.status()
    assert status is not None
    assert any(said.startswith("the log file cannot be written") for said in status["warnings"])


def test_the_machine_is_in_the_status(rig: Rig) -> None:
    rig.start_daemon()
    rig.until(lambda: bool((rig.status() or {}).get("host")), "the machine was looked at")
    host = (rig.status() or {})["host"]
    assert host["disk_free_bytes"] > 0
    assert host["memory_total_bytes"] > 0
    assert isinstance(host["is_clock_set"], bool)
