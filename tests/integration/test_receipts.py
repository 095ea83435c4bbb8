"""The proof of a print that was interrupted, and its signature."""

from __future__ import annotations

import base64
import sqlite3

from nacl.signing import SigningKey

from tests.integration.cli_runner import fabunit
from tests.integration.rig import Rig, spiral

KEY = bytes(range(32))


def test_a_receipt_tells_gaps_and_pauses_and_is_signed_by_the_unit(rig: Rig) -> None:
    rig.state.mkdir()
    (rig.state / "unit.key").write_bytes(base64.b64encode(KEY) + b"\n")
    (rig.state / "unit.key").chmod(0o600)
    rig.start_printer(speed=60)
    rig.start_daemon()
    job_id = rig.submit(spiral(2500))
    rig.until_executed(300)
    rig.kill_daemon()
    rig.start_daemon()
    rig.until_state("printing")
    rig.until(lambda: rig.job(job_id)["state"] == "printing", "the print is taken over")
    rig.client.post("/v1/print/pause")
    rig.until_state("paused")
    rig.client.post("/v1/print/resume")
    assert rig.until_ended(job_id)["state"] == "completed"
    print_id = rig.client.get("/v1/prints")["prints"][0]["print_id"]
    document = rig.client.get(f"/v1/prints/{print_id}/receipt")
    receipt = document["receipt"]
    assert (receipt["restarts"], receipt["reconnects"]) == (1, 0)
    assert len(receipt["gaps"]) == 1
    assert receipt["gaps"][0]["line"] >= 300
    assert 0 < receipt["gaps"][0]["gap_s"] < 60
    assert [pause["reason"] for pause in receipt["pauses"]] == ["user"]
    assert receipt["pauses"][0]["length_s"] > 0
    stats = receipt["stats"]
    assert stats["counted_from_line"] == receipt["gaps"][0]["line"]
    assert "to_standstill_s" not in stats, "the first lines were another daemon's"
    latency = stats["ok_latency"]
    assert 0 < latency["p50_ms"] <= latency["p90_ms"] <= latency["p99_ms"] <= latency["max_ms"]
    assert latency["samples"] > 0

    SigningKey(KEY).verify_key.verify(
        base64.b64decode(document["payload"]), base64.b64decode(document["seal"]["sig"])
    )
    public = base64.b64encode(bytes(SigningKey(KEY).verify_key)).decode()
    said = fabunit("receipt", print_id, "--key", public, socket=rig.socket)
    assert said.code == 0, said
    assert f"by bench-unit with {public}, good" in said.out
    other = base64.b64encode(bytes(SigningKey(bytes(32)).verify_key)).decode()
    assert fabunit("receipt", print_id, "--key", other, socket=rig.socket).code == 4

    rig.stop_daemon()
    with sqlite3.connect(rig.state / "fabunit.db") as database:
        database.execute("UPDATE prints SET receipt = replace(receipt, 'completed', 'failed')")
    database.close()
    rig.start_daemon()
    said = fabunit("receipt", print_id, "--verify", socket=rig.socket)
    assert said.code == 4
    assert "changed after it was written" in said.err


def test_a_print_that_one_daemon_saw_whole_tells_its_time_and_a_unit_without_key_signs_nothing(
    rig: Rig,
) -> None:
    rig.start_printer()
    rig.start_daemon()
    assert rig.until_ended(rig.submit(spiral(300)))["state"] == "completed"
    print_id = rig.client.get("/v1/prints")["prints"][0]["print_id"]
    document = rig.client.get(f"/v1/prints/{print_id}/receipt")
    assert set(document) == {"print_id", "receipt"}
    receipt = document["receipt"]
    assert (receipt["restarts"], receipt["gaps"], receipt["pauses"]) == (0, [], [])
    assert 0 < receipt["stats"]["to_standstill_s"] <= receipt["stats"]["elapsed_s"]
    assert receipt["stats"]["counted_from_line"] == 0
    assert "not signed" in fabunit("receipt", print_id, "--verify", socket=rig.socket).err


def test_a_key_that_others_can_read_is_refused_at_the_start(rig: Rig) -> None:
    rig.state.mkdir()
    (rig.state / "unit.key").write_bytes(base64.b64encode(KEY))
    (rig.state / "unit.key").chmod(0o644)
    rig.start_daemon(wait=False)
    assert rig.daemon is not None
    assert rig.daemon.wait(30) == 2
    assert "others may read the private key" in (rig.folder / "daemon.log").read_text()
