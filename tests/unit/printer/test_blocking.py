"""Which commands are sent alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.printer.blocking import is_blocking
from agent.printer.feeder import split_at_blocking


@pytest.mark.parametrize(
    "command",
    ["M109 S200", "M190 S60", "M190 R60", "M191 S40", "M116", "G28", "G28 X Y", "G29", "G29 A", "M0", "M1 Click", "M00",
     "M226", "M303 E0", "M400", "M48", "M600", "M601", "M701", "G04 P501", "G4 S1", "G4 P20000", "G4 S0.6", "G30",
     "G34", "G76", "M125"],
)  # fmt: skip
def test_commands_that_keep_the_firmware_busy(command: str) -> None:
    assert is_blocking(command.encode())


@pytest.mark.parametrize(
    "command",
    ["G1 X1", "G0 X1", "G2 X1 I1", "M104 S200", "M140 S60", "M105", "M106 S255", "M107", "G4", "G4 P0", "G4 P500",
     "G4 S0.5", "G40", "G281", "M10", "M1090", "M4000", "M82", "G92 E0", "G90", "T0", "M117 G28", "M117 M109 S200", ""],
)  # fmt: skip
def test_commands_that_do_not(command: str) -> None:
    assert not is_blocking(command.encode())


def test_an_unreadable_dwell_is_taken_for_a_long_one() -> None:
    assert is_blocking(b"G4 P1.2.3")


@given(st.lists(st.sampled_from([b"G1 X1", b"G28", b"M109 S1", b"M105", b"G4 S9", b"G4 P1"]), max_size=40))
def test_cutting_keeps_every_line_and_isolates_the_blocking_ones(lines: list[bytes]) -> None:
    parts = list(split_at_blocking(lines))
    assert [line for part, _ in parts for line in part] == lines
    for part, barrier in parts:
        assert part
        assert barrier == is_blocking(part[0])
        assert len(part) == 1 or not any(map(is_blocking, part))
