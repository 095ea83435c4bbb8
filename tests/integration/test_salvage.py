"""Going on with a print whose board was reset, when a person wants it."""

from __future__ import annotations

import pytest

from agent.domain.errors import RefusedError
from tests.integration.cli_runner import fabunit
from tests.integration.rig import Rig, commands, spiral

LAYERS, MOVES = 10, 400


def tower() -> str:
    """A print of ten layers, 0.2 mm each."""
    lines = spiral(0).splitlines()
    head, tail = lines[: lines.index("G92 E0") + 1], lines[lines.index("M104 S0") :]
    body = ["M204 P1500", "M106 S128"]
    for layer in range(LAYERS):
        z_mm = 0.2 * (layer + 1)
        body += [";LAYER_CHANGE", f";Z:{z_mm:.1f}", f"G1 Z{z_mm:.1f} F3000"]
        body += [
            f"G1 X{80 + move % 50}.{move % 10} Y{90 + layer} E0.0{1 + move % 7} F3000"
            for move in range(MOVES)
        ]
    return "\n".join([*head, *body, *tail, ""])


def reset_in(rig: Rig, part: str, line: int) -> str:
    """A print that fails because the board was reset behind a line; returns the job's id."""
    rig.start_printer("--reset-after-lines", str(line), speed=60)
    rig.start_daemon()
    job_id = rig.submit(part)
    job = rig.until_ended(job_id)
    assert (job["state"], job["reason"]) == ("failed", "printer_reset")
    assert f"fabunit job salvage {job_id}" in job["detail"]
    rig.until_state("idle")
    return job_id


def test_a_person_has_a_reset_print_go_on_where_it_stopped(rig: Rig) -> None:
    part = tower()
    wanted = commands(part)
    job_id = reset_in(rig, part, 2200)
    found = rig.client.get(f"/v1/jobs/{job_id}/salvage")
    assert found["possible"]
    assert found["certain"], found
    begin, layer = found["start_line"], found["layer"]
    assert begin <= found["line"] <= 2200 <= found["line"] + 64
    assert found["height_mm"] == pytest.approx(0.2 * layer)
    said = fabunit("job", "salvage", job_id, socket=rig.socket)
    assert said.code == 0
    assert f"{layer} of {LAYERS}" in said.out
    assert "--yes" in said.out
    before = len(rig.commands())
    assert fabunit("job", "salvage", job_id, "--yes", socket=rig.socket).code == 0
    assert rig.until_ended(job_id)["state"] == "completed"

    ledger = rig.commands()[before:]
    job_lines = [e["cmd"] for e in ledger if e["src"] == "job" and e["n"] < 1_000_000]
    assert job_lines == wanted[begin - 1 :]
    sent = [e["cmd"] for e in ledger if e["cmd"] not in job_lines or e["src"] != "job" or e["n"] >= 1_000_000]
    way = [cmd for cmd in sent if cmd.split()[0] not in ("M110", "M85", "M105", "M155", "M113", "M115")]
    lift = "G1 Z10 F600"
    height = f"{0.2 * layer:.1f}".rstrip("0").rstrip(".")
    order = [
        "M190 S60",
        "M109 S205",
        f"G92 Z{height}",
        "G91",
        lift,
        "G28 X Y",
        "M204 P1500",
        "G1 E10 F150",
        "M106 S128",
    ]
    places = [way.index(cmd) for cmd in order]
    assert places == sorted(places), way
    assert not [cmd for cmd in way if cmd.startswith("G28") and cmd != "G28 X Y"]
    homes = [e["axes"] for e in rig.entries() if e.get("event") == "home"]
    assert homes == ["XYZ", "XY"]

    prints = rig.client.get("/v1/prints")["prints"]
    assert [entry["state"] for entry in prints] == ["completed", "failed"]
    receipt = rig.client.get(f"/v1/prints/{prints[0]['print_id']}/receipt")["receipt"]
    assert receipt["salvaged"] == {"from_line": begin - 1, "of_print": prints[1]["print_id"]}
    assert receipt["attempt"] == 2
    assert receipt["stats"]["counter"] == receipt["base"] + len(wanted)
    kept = rig.client.get(f"/v1/prints/{prints[1]['print_id']}/receipt")["receipt"]["salvage"]
    assert kept["line"] == found["line"]


def test_a_part_that_was_taken_off_is_not_salvaged(rig: Rig) -> None:
    job_id = reset_in(rig, tower(), 2200)
    rig.client.post("/v1/bed/clear")
    with pytest.raises(RefusedError) as caught:
        rig.client.post(f"/v1/jobs/{job_id}/salvage", {})
    assert caught.value.code == "part_gone"
    assert rig.job(job_id)["state"] == "failed"


@pytest.mark.parametrize("how", ["home", "console"])
def test_a_head_that_somebody_moved_does_not_stand_on_the_part_any_more(rig: Rig, how: str) -> None:
    job_id = reset_in(rig, tower(), 2200)
    rig.client.post("/v1/console", {"line": "M105"})
    found = rig.client.get(f"/v1/jobs/{job_id}/salvage")
    assert found["possible"]
    # The reset may come so near to a change of layers that a person has to name one.
    wanted = {} if found["certain"] else {"layer": found["candidates"][0]["layer"]}
    if how == "home":
        rig.client.post("/v1/printer/home", {"axes": "X"})
    else:
        rig.client.post("/v1/console", {"line": "g1 X5 F600"})
    rig.kill_daemon()
    rig.start_daemon()
    rig.until_state("idle")
    with pytest.raises(RefusedError) as caught:
        rig.client.post(f"/v1/jobs/{job_id}/salvage", wanted)
    assert caught.value.code == "head_moved"


def test_near_a_layer_change_a_person_has_to_name_the_layer(rig: Rig) -> None:
    part = tower()
    change = commands(part).index("G1 Z1.0 F3000") + 1
    job_id = reset_in(rig, part, change + 10)
    found = rig.client.get(f"/v1/jobs/{job_id}/salvage")
    assert not found["certain"]
    assert [one["layer"] for one in found["candidates"]] == [4, 5]
    assert fabunit("job", "salvage", job_id, "--yes", socket=rig.socket).code == 4
    assert fabunit("job", "salvage", job_id, "--layer", "4", "--yes", socket=rig.socket).code == 0
    assert rig.until_ended(job_id)["state"] == "completed"
    first = commands(part).index("G1 Z0.8 F3000")
    assert rig.executed()[-len(commands(part)) + first :] == commands(part)[first:]


def test_a_board_reset_while_the_daemon_was_away_is_known_to_the_note(rig: Rig) -> None:
    rig.start_printer(speed=10)
    rig.start_daemon()
    job_id = rig.submit(tower())
    rig.until_executed(300)
    rig.kill_daemon()
    rig.tell_printer("reset")
    rig.start_daemon()
    assert rig.until_ended(job_id)["reason"] == "printer_reset"
    found = rig.client.get(f"/v1/jobs/{job_id}/salvage")
    assert found["line"] <= len(rig.executed())
    assert not found["possible"] or not found["certain"] or len(found["candidates"]) == 1


def test_a_daemon_killed_on_the_way_back_does_not_try_again(rig: Rig) -> None:
    job_id = reset_in(rig, tower(), 2200)
    rig.tell_printer("stats")
    rig.client.post(f"/v1/jobs/{job_id}/salvage", {})
    rig.until(lambda: "M190 S60" in rig.host_commands(), "it heats up on the way back")
    rig.kill_daemon()
    before = len(rig.executed())
    rig.start_daemon()
    rig.until(lambda: rig.job(job_id)["reason"] == "not_salvaged", "the way back is given up")
    assert "not certain any more" in rig.job(job_id)["detail"]
    assert len(rig.executed()) == before
    sent = rig.host_commands()
    assert {"M104 S0", "M140 S0"} <= set(sent[-8:])
