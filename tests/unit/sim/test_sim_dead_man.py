"""What holds the dead-man timer (M85) of the firmware model back, as in the sources of each Marlin."""

from __future__ import annotations

import pytest

from tests.unit.sim.firmware_rig import Rig


def test_setting_it_starts_it_anew() -> None:
    rig = Rig()
    rig.wait(100)
    rig.send("M85 S4")
    for _ in range(5):
        rig.wait(3)
        rig.send("M85 S4")
    assert rig.firmware.power == "running"
    rig.wait(5)
    assert rig.firmware.power == "killed"


@pytest.mark.parametrize(
    ("dialect", "survives"), [("marlin-2.1", True), ("marlin-2.0", False), ("marlin-1.1", False)]
)
def test_waiting_for_a_person_in_m600_holds_it_back_only_in_newer_builds(
    dialect: str, survives: bool
) -> None:
    rig = Rig(dialect=dialect)
    rig.send("M85 S20")
    rig.send("M600")
    rig.wait(60)
    assert (rig.firmware.power == "running") is survives


def test_waiting_for_a_person_in_m0_holds_it_back_nowhere() -> None:
    rig = Rig()
    rig.send("M85 S4")
    rig.send("M0 Take it")
    rig.wait(6)
    assert rig.firmware.power == "killed"


def test_its_clock_can_run_faster_than_everything_else() -> None:
    rig = Rig(dead_man_speed=100.0)
    rig.send("M85 S1800")
    rig.wait(17)
    assert rig.firmware.power == "running"
    rig.wait(2)
    assert rig.firmware.power == "killed"
