"""A run of plain lines ends where the first other line begins, on every Python that is supported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import paths
from agent.gcode import plain
from agent.slicing.profiles import load_profile

PROFILE = load_profile("generic-220", (paths.data_dir() / "slicer_profiles",))
LINES = ("G1 X10 Y10", "G0 F3000 X219.999 Y.5 Z250", "G1 E-1.5 F2100", "G92 E0", "", "G90", "G1 X1000", "G1 X10 Y999",
         "G28", "M83", "G1 X10 X20", "G1 Y-1", "G92 X0", "G1X5", "g1 X5", "G1 X5 ;c", "G10", "G1 F1000000")  # fmt: skip
PLAIN = frozenset(LINES[:5])


@pytest.mark.parametrize("kept", ["+", ""])
@given(lines=st.lists(st.sampled_from(LINES), max_size=12))
def test_whole_lines_and_only_plain_ones(kept: str, lines: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Before 3.11.5 possessive groups let half a line pass: there the other form is used, and must be as good.
        patch.setattr(plain, "_KEPT", plain._KEPT and kept)
        pattern = plain.plain_run(PROFILE)
    text = "".join(f"{line}\n" for line in lines)
    expected = 0
    for line in lines:
        if line not in PLAIN:
            break
        expected += len(line) + 1
    match = pattern.match(text.encode())
    assert match is not None
    assert match.end() == expected
