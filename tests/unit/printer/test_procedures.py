"""What the host sends around a print."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.printer import Temperature
from agent.domain.profile import HeaterLimits, Scripts
from agent.gcode.modal import ModalState, fold
from agent.printer import procedures
from agent.printer.procedures import PauseSnapshot
from tests.unit.printer.prepared_files import profile

HOT, COLD = Temperature(210.0, 210.0), Temperature(25.0, 0.0)
PLACE = {"X": 12.5, "Y": 40.0, "Z": 3.2, "E": 118.25}


def test_parking_a_hot_head_retracts_lifts_and_moves_aside() -> None:
    assert procedures.park(profile(), PLACE, HOT) == [
        "M83",
        "G1 E-2 F2100",
        "G91",
        "G1 Z10 F600",
        "G90",
        "G1 X10 Y200 F6000",
    ]


@pytest.mark.parametrize("hotend", [COLD, None, Temperature(169.9)])
def test_parking_a_cold_head_does_not_extrude(hotend: Temperature | None) -> None:
    assert procedures.park(profile(), PLACE, hotend) == ["G91", "G1 Z10 F600", "G90", "G1 X10 Y200 F6000"]


@pytest.mark.parametrize(
    ("z", "lift"), [(245.0, "G1 Z5 F600"), (249.9, "G1 Z0.1 F600"), (250.0, None), (251.0, None)]
)
def test_the_lift_ends_at_the_top(z: float, lift: str | None) -> None:
    commands = procedures.park(profile(), {"Z": z}, COLD)
    assert [command for command in commands if command.startswith("G1 Z")] == ([lift] if lift else [])
    assert "G90" in commands


def test_returning_heats_first_and_restores_every_mode() -> None:
    modal = fold(
        ModalState.start("marlin"),
        [b"M140 S60", b"M104 S205", b"M82", b"M106 S127", b"M106 P1 S0", b"G1 X1 F1800"],
    )
    assert procedures.unpark(profile(), PauseSnapshot("paused", 7, PLACE), modal, COLD) == [
        "M140 S60",
        "M104 T0 S205",
        "M190 S60",
        "M109 T0 S205",
        "G90",
        "G1 X12.5 Y40 F6000",
        "G1 Z3.2 F600",
        "M83",
        "G1 E2 F2100",
        "G92 E118.25",
        "M82",
        "G90",
        "G1 F1800",
        "M106 S127",
        "M107 P1",
    ]


def test_a_cold_job_returns_without_extruding() -> None:
    commands = procedures.unpark(profile(), PauseSnapshot("paused", 7, PLACE), ModalState(), COLD)
    assert not [command for command in commands if command.startswith(("M109", "M190", "G1 E"))]


def test_a_relative_job_gets_its_relative_modes_back() -> None:
    modal = fold(ModalState.start("marlin"), [b"G91", b"M83"])
    commands = procedures.unpark(profile(), PauseSnapshot("paused", 7, PLACE), modal, HOT)
    assert commands[-2:] == ["M83", "G91"]


def test_cancelling_parks_and_switches_everything_off() -> None:
    machine = profile(extruders=2, chamber=HeaterLimits(60.0))
    assert procedures.cancelled(machine, PLACE, HOT)[-6:] == [
        "M104 T0 S0",
        "M104 T1 S0",
        "M140 S0",
        "M141 S0",
        "M107",
        "M84",
    ]
    assert procedures.cool_down(profile(bed=None)) == ["M104 S0", "M107"]


def test_scripts_of_the_unit_replace_ours_and_get_their_values() -> None:
    scripts = Scripts(
        pause=("G1 X{park_x} Y{park_y}", "G1 E-{retract} F{retract_speed}"),
        resume=("G1 X{x} Y{y} Z{z} ; {e}",),
        cancel=("G1 Z{lift}",),
    )
    machine = profile(scripts=scripts)
    assert procedures.park(machine, PLACE, HOT) == ["G1 X10 Y200", "G1 E-2 F2100"]
    returned = procedures.unpark(machine, PauseSnapshot("paused", 7, PLACE), ModalState(), HOT)
    assert returned[0] == "G1 X12.5 Y40 Z3.2 ; 118.25"
    assert procedures.cancelled(machine, PLACE, HOT) == ["G1 Z10", *procedures.cool_down(machine)]


@given(
    st.builds(
        PauseSnapshot,
        st.sampled_from(["starting", "pausing", "paused", "cancelling", "finishing"]),
        st.integers(0, 10**9),
        st.dictionaries(st.sampled_from("XYZE"), st.floats(-1e6, 1e6)),
    )
)
def test_a_snapshot_survives_the_disk(snapshot: PauseSnapshot) -> None:
    assert PauseSnapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize(
    "text",
    [None, "", "null", "[]", "{}", "7", '"x"', "{", '{"stage":"paused"}', '{"stage":"paused","line":"x","position":{}}',
     '{"stage":"paused","line":1,"position":[]}', '{"stage":"paused","line":1,"position":{"X":"a"}}',
     '{"stage":"paused","line":1,"position":{"X":null}}', '{"stage":"paused","line":1,"position":{"X":NaN}}',
     '{"stage":"paused","line":1,"position":{"X":Infinity}}', '{"stage":"nonsense","line":1,"position":{}}',
     '{"stage":"paused","line":-1,"position":{}}', '{"stage":"paused","line":1e999,"position":{}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_snapshot_is_none(text: str | None) -> None:
    assert PauseSnapshot.from_json(text) is None


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_is_harmless(value: object) -> None:
    snapshot = PauseSnapshot.from_json(json.dumps({"stage": "paused", "line": 4, "position": value}))
    assert snapshot is None or snapshot.line == 4
    PauseSnapshot.from_json(json.dumps(value))


@given(st.floats(-1e5, 1e5))
def test_numbers_are_plain_decimals(value: float) -> None:
    text = procedures.number(value)
    assert "e" not in text
    assert abs(float(text) - value) <= 0.00006
