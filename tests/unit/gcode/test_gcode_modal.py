from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.gcode.modal import ModalState, fold, fold_chunk

LINES = [
    "G90", "G91", "M82", "M83", "G1 X1 Y2 E.5", "G1 F1800", "G1 X1 F900", "G0 F6000 X1 Y1", "M106 S128",
    "M106 P1 S50", "M107", "M107 P1", "M104 S210", "M109 S205 T1", "M140 S60", "M190 R55", "M141 S40", "T1",
    "T0", "M220 S90", "M221 S95", "G92 E0", "G28 X Y", "M117 F99 hello", "M900 K0.05", "G29", "M204 P500",
    "M106", "G2 X1 Y1 I1 J1 F700",
]  # fmt: skip


def test_a_typical_start() -> None:
    state = fold(
        ModalState(), [b"G90\n", b"M83", b"M104 S210", b"M140 S60", b"G1 X1 F1800", b"M106 S128", b"G1 X2 E1"]
    )
    assert (state.absolute_xyz, state.absolute_e, state.feedrate, state.fan) == (True, False, 1800.0, 128.0)
    assert state.targets == {"T0": 210.0, "B": 60.0}
    assert (state.tool, state.units) == (0, "mm")


def test_g90_and_the_extruder_depend_on_the_firmware() -> None:
    lines = [b"M83", b"G91", b"G1 Z5", b"G90"]
    assert fold(ModalState.start("marlin"), lines).absolute_e is True
    assert fold(ModalState.start("prusa"), lines).absolute_e is False
    assert fold(ModalState.start("klipper"), lines).absolute_e is False


def test_the_feedrate_is_that_of_moves_only() -> None:
    assert fold(ModalState(), [b"G1 F900", b"M117 F99", b"G29 F3", b"M900 F5"]).feedrate == 900
    assert fold(ModalState(), [b"M117 F99"]).feedrate is None
    assert fold(ModalState(), [b"G1 F900", b"G1 F0"]).feedrate == 900


def test_tools_keep_their_own_targets() -> None:
    state = fold(ModalState(), [b"T1", b"M104 S200", b"M104 T0 S180", b"M109 S201"])
    assert state.targets == {"T1": 201.0, "T0": 180.0}
    assert state.tool == 1


@given(lines=st.lists(st.sampled_from(LINES), max_size=60), cut=st.integers(0, 60))
def test_folding_in_parts_is_folding_at_once(lines: list[str], cut: int) -> None:
    raw = [line.encode() for line in lines]
    whole = fold(ModalState(), raw)
    assert fold(fold(ModalState(), raw[:cut]), raw[cut:]) == whole
    assert fold_chunk(ModalState(), b"".join(line + b"\n" for line in raw)) == whole
    one_by_one = ModalState()
    for line in raw:
        one_by_one = fold(one_by_one, [line])
    assert one_by_one == whole
