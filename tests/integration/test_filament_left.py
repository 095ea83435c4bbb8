"""What is left on a spool: counted down once for each print, whatever happens to the daemon, and shown everywhere."""

from __future__ import annotations

import pytest

from agent.domain.spool import g_per_mm
from tests.integration.cli_runner import fabunit
from tests.integration.rig import Rig, spiral

FULL_G = 500.0


def configured(rig: Rig, **settings: str) -> None:
    """A unit whose coordinator cannot be reached: counting needs none."""
    lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    with rig.config.open("a") as config:
        config.write(
            '[coordinator]\nurl = "mqtt://127.0.0.1:1"\n'
            f'materials = [{{slot = "T0", material = "PLA", left_g = {FULL_G}}}]\n{lines}'
        )


def left_g(rig: Rig) -> float:
    """As `fabunit printer spools` says."""
    (spool,) = fabunit("printer", "spools", "--json", socket=rig.socket).document()["spools"]
    return float(spool["left_g"])


def weight_g(gcode: str) -> float:
    """Of everything that the file extrudes, by its own words."""
    moves = (line.split() for line in gcode.splitlines() if line.startswith("G1"))
    return sum(float(word[1:]) for words in moves for word in words if word[0] == "E") * g_per_mm("PLA")


def test_a_print_is_counted_once_over_a_kill_and_a_part_by_its_share(rig: Rig) -> None:
    configured(rig)
    rig.start_printer()
    rig.start_daemon()
    part = spiral(2000)
    job_id = rig.submit(part)
    rig.until_executed(500)
    rig.kill_daemon()
    rig.start_daemon()
    assert rig.until_ended(job_id)["state"] == "completed"
    whole_g = weight_g(part)
    assert left_g(rig) == pytest.approx(FULL_G - whole_g, abs=0.002)
    ended = [e["data"] for e in rig.client.get("/v1/events")["events"] if "spools" in e["data"]]
    assert [[spent["slot"] for spent in data["spools"]] for data in ended] == [["T0"]]
    rig.kill_daemon()
    rig.start_daemon()
    assert left_g(rig) == pytest.approx(FULL_G - whole_g, abs=0.002), (
        "a restart neither forgets nor repeats it"
    )

    said = fabunit("printer", "refill", "T0", "100", socket=rig.socket)
    assert (said.code, "100 g left" in said.out) == (0, True)
    rig.client.post("/v1/bed/clear")
    half = spiral(6000)
    cut = rig.submit(half)
    rig.until(lambda: len(rig.executed()) > 4000, "two thirds of the second part are printed")
    assert fabunit("cancel", socket=rig.socket).code == 0
    assert rig.until_ended(cut)["state"] == "cancelled"
    used_g = 100.0 - left_g(rig)
    assert 0.1 * weight_g(half) < used_g < weight_g(half)
    print_id = rig.client.get("/v1/prints")["prints"][0]["print_id"]
    receipt = rig.client.get(f"/v1/prints/{print_id}/receipt")["receipt"]
    assert receipt["filament_mm"]["T0"] * g_per_mm("PLA") == pytest.approx(used_g, abs=0.002)
    assert fabunit("printer", "refill", "T5", "1", socket=rig.socket).code == 5


@pytest.mark.parametrize("policy", ["warn", "reject"])
def test_a_job_that_needs_more_than_is_left_is_told(rig: Rig, policy: str) -> None:
    configured(rig, filament_short=policy)
    rig.start_printer()
    rig.start_daemon()
    assert fabunit("printer", "refill", "T0", "0.01", socket=rig.socket).code == 0
    job = rig.until_ended(rig.submit(spiral(600)))
    assert job["state"] == ("completed" if policy == "warn" else "rejected")
    told = [e["detail"] for e in rig.client.get("/v1/events")["events"] if "of T0 are needed" in e["detail"]]
    assert told, "the record does not say what is missing"
    assert "0.01 g are left" in told[0]
    if policy == "reject":
        assert "fabunit printer refill" in job["detail"]
        fabunit("printer", "refill", "T0", "1000", socket=rig.socket)
        assert fabunit("job", "retry", job["job_id"], socket=rig.socket).code == 0
        rig.until(lambda: rig.job(job["job_id"])["state"] == "completed", "it is printed then")
