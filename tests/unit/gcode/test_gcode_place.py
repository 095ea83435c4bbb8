"""Where the nozzle is after some lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gcode.place import Place


def after(*lines: str, g90_sets_e: bool = True) -> Place:
    place = Place()
    place.follow([line.encode() for line in lines], g90_sets_e=g90_sets_e)
    return place


def test_absolute_and_relative_moves() -> None:
    place = after(
        "G28", "G90", "M82", "G1 X10 Y20 Z0.3 F3000", "G91", "G1 X-1.5 Z0.2", "G90", "G2 X30 Y5 I1 J2 E4.5"
    )
    assert (place.x, place.y, place.e) == (30.0, 5.0, 4.5)
    assert place.z == pytest.approx(0.5)


def test_homing_and_probing_leave_the_place_open_until_it_is_named_again() -> None:
    assert (after("G1 X1 Y1 Z1", "G28").x, after("G1 X1 Y1 Z1", "G28 Z").x) == (None, 1.0)
    place = after("G1 X1 Y1 Z1", "G29", "G91", "G1 X4", "G90", "G1 Y7")
    assert (place.x, place.y, place.z, place.probed) == (None, 7.0, None, True)


@pytest.mark.parametrize(("g90_sets_e", "extruded"), [(True, 3.0), (False, 4.0)])
def test_g90_carries_the_extruder_along_on_some_firmware(g90_sets_e: bool, extruded: float) -> None:
    assert after("M83", "G1 E1", "G90", "G1 E3", g90_sets_e=g90_sets_e).e == extruded


def test_the_last_value_of_each_setting_is_brought_back() -> None:
    place = after(
        "M204 P1000 T2000", "M900 K0.05", "G92 E0", "M204 P800", "M221 S95", "G92 E2.5", "M106 S255"
    )
    assert place.setting_commands == ["M204 P800 T2000", "M900 K0.05", "M221 S95"]
    assert place.e == 2.5


@given(st.lists(st.tuples(st.sampled_from("XYZE"), st.integers(-500, 500)), max_size=60), st.integers(0, 59))
def test_it_does_not_matter_where_the_file_is_cut(moves: list[tuple[str, int]], cut: int) -> None:
    lines = [f"G1 {axis}{value / 10}".encode() for axis, value in moves]
    lines[len(lines) // 2 : len(lines) // 2] = [b"G91", b"G1 X1 Y2 E3"]
    whole, parts = Place(), Place()
    whole.follow(lines, g90_sets_e=True)
    parts.follow(lines[:cut], g90_sets_e=True)
    parts.follow(lines[cut:], g90_sets_e=True)
    assert whole == parts
