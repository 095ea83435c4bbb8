"""The analysis: figures that can be worked out by hand, and comparisons with two other implementations."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import paths
from agent.domain.profile import PrinterProfile
from agent.gcode.analysis.analyser import Analyser, analyse_blocks, analyse_file
from agent.gcode.analysis.result import Analysis
from agent.gcode.analysis.tokens import tokenise
from agent.gcode.blocks import BLOCK_BYTES
from agent.slicing.profiles import load_profile
from tests.unit.gcode.sim_clock import ideal_seconds

PROFILE = load_profile("generic-220", [paths.data_dir() / "slicer_profiles"])
# The virtual printer's own limits: Marlin's defaults with junction deviation.
VIRTUAL = replace(
    PROFILE,
    jerk_mm_s={},
    junction_deviation_mm=0.013,
    max_speed_mm_s={"x": 300.0, "y": 300.0, "z": 5.0, "e": 25.0},
    max_acceleration_mm_s2={"x": 3000.0, "y": 3000.0, "z": 100.0, "e": 10000.0},
)
ABRUPT = replace(PROFILE, jerk_mm_s=dict.fromkeys("xyze", 0.001))


def analyse(
    text: str, profile: PrinterProfile = PROFILE, dialect: str = "marlin", *, step: int = 1
) -> Analysis:
    return analyse_blocks([text.encode()], profile, dialect, step=step)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [("G1 X12.345 Y-.5 E1.00001 F3000", {"G": 1.0, "X": 12.345, "Y": -0.5, "E": 1.00001, "F": 3000.0}),
     ("g01x0.1y2.", {"G": 1.0, "X": 0.1, "Y": 2.0}), ("M 104 S 200 ; hot", {"M": 104.0, "S": 200.0}),
     ("N12 G1 X5*33", {"G": 1.0, "X": 5.0}), ("G1 X123456789.1234567", {"G": 1.0, "X": 123456789.1234567}),
     ("G28 X Y", {"G": 28.0, "X": 0.0, "Y": 0.0}), ("", {}), ("; G1 X5", {}), ("G1 X+3 (Y5)", {"G": 1.0, "X": 3.0})],
)  # fmt: skip
def test_numbers_are_read_as_written(line: str, wanted: dict[str, float]) -> None:
    tokens = tokenise(f"{line}\n".encode())
    assert tokens.lines == 1
    assert {chr(letter): value for letter, value in zip(tokens.letter, tokens.value, strict=True)} == wanted


@given(st.lists(st.floats(-99999, 99999).map(lambda value: f"{value:.5f}"), min_size=1, max_size=50))
def test_every_decimal_is_the_double_that_python_reads(numbers: list[str]) -> None:
    tokens = tokenise("".join(f"G1 X{number}\n" for number in numbers).encode())
    assert tokens.value[1::2].tolist() == [float(number) for number in numbers]


@settings(max_examples=200)
@given(
    st.one_of(st.binary(max_size=400), st.text("GMTXYZEF0123456789.- \n;*()", max_size=400).map(str.encode))
)
def test_garbage_is_analysed_without_an_exception(data: bytes) -> None:
    for profile in (PROFILE, VIRTUAL, replace(VIRTUAL, junction_deviation_mm=None, square_corner_mm_s=5.0)):
        found = analyse_blocks([data, data + b"\nG1 X5 Y5 E1 F600\n"], profile, "marlin")
        assert math.isfinite(found.seconds)
        assert found.seconds >= 0
        assert all(math.isfinite(second) and second >= 0 for second in found.times)
        assert list(found.times) == sorted(found.times)


def test_a_single_move_is_a_trapezoid() -> None:
    """100 mm at 50 mm/s with 1000 mm/s²: 0.05 s up, 0.05 s down over 2.5 mm, 97.5 mm flat."""
    found = analyse("M204 S1000\nG1 X100 F3000\n", ABRUPT)
    assert found.seconds == pytest.approx(0.1 + 97.5 / 50, abs=1e-3)


def test_a_short_move_is_a_triangle() -> None:
    found = analyse("M204 S1000\nG1 X1 F30000\n", ABRUPT)
    assert found.seconds == pytest.approx(2 * math.sqrt(1 / 1000), abs=1e-3)


def test_straight_moves_join_without_a_stop() -> None:
    whole = analyse("G1 X100 F3000\n")
    pieces = analyse("".join(f"G1 X{n} F3000\n" for n in range(1, 101)))
    assert pieces.seconds == pytest.approx(whole.seconds, rel=1e-3)
    turning = analyse("".join(f"G1 X{n % 2} F3000\n" for n in range(1, 101)))
    assert turning.seconds > 1.3 * pieces.seconds


def test_limits_of_axes_count() -> None:
    slow = replace(PROFILE, max_speed_mm_s={"x": 10.0, "y": 300.0, "z": 5.0, "e": 100.0})
    assert analyse("G1 X100 F6000\n", slow).seconds == pytest.approx(10, rel=0.02)
    assert analyse("G1 Z100 F6000\n", slow).seconds == pytest.approx(20, rel=0.02)
    assert analyse("M203 X20\nG1 X100 F6000\n", slow).seconds == pytest.approx(5, rel=0.02)
    assert analyse("M220 S50\nG1 Y100 F600\n", slow).seconds == pytest.approx(20, rel=0.02)


def test_dwells_count_and_waiting_for_heat_does_not() -> None:
    found = analyse("G28\nM109 S200\nM190 S60\nG4 S3\nG4 P500\nG1 X10 F600\n")
    assert found.dwell_s == 3.5
    assert found.seconds == pytest.approx(3.5 + 1.02, abs=0.02)
    assert (found.waits, found.homings) == (2, 1)


def test_the_index_tells_the_time_before_each_line() -> None:
    lines = [f"G1 X{100 if n % 2 else 0} F6000" for n in range(1, 1001)]
    found = analyse("\n".join(lines) + "\n", step=100)
    assert (found.lines, found.step, len(found.times)) == (1000, 100, 10)
    assert found.times[0] == 0
    share = [second / found.seconds for second in found.times]
    assert share == pytest.approx([k / 10 for k in range(10)], abs=0.002)
    waiting = analyse("G1 X100 F6000\nG4 S100\nG1 X0\n")
    assert waiting.times == pytest.approx([0, 1.03, 101.03], abs=0.1)


def test_modes_origins_and_units() -> None:
    """Relative moves, G92 and inches end where they should: the box is in machine coordinates."""
    found = analyse(
        "G28\nM83\nG1 X10 Y10 Z1 F600\nG91\nG1 X5 E1\nG1 Y5 E1\nG90\nG92 X0 Y0\nG1 X10 E1\nG20\nG1 Y1 E1\n"
    )
    assert found.printed_box == ((10.0, 10.0, 1.0), (25.0, 40.4, 1.0))
    assert found.filament_mm == {0: pytest.approx(25.4)}
    homed = analyse("G1 X50 Y50 Z5\nG92 X0\nG28 X\nM83\nG1 X10 E1\n")
    assert homed.printed_box == ((0.0, 50.0, 5.0), (10.0, 50.0, 5.0))


def test_modes_carry_over_from_block_to_block() -> None:
    text = (
        "G28\nG91\nM83\nG1 X10 Y10 Z1 F600\nG1 X5 E1\nG92 E0\nG1 Y5 E2\nT1\nG1 X1 E3\nG90\n"
        "G1 X50 Y50 E1\nM107\nG1 X9 E1\n"
    )
    whole = analyse(text)
    lines = text.splitlines(keepends=True)
    parts = analyse_blocks([line.encode() for line in lines], PROFILE, "marlin_1", step=1)
    together = analyse_blocks([text.encode()], PROFILE, "marlin_1", step=1)
    assert (parts.printed_box, parts.filament_mm, parts.layers) == (
        together.printed_box, together.filament_mm, together.layers,
    )  # fmt: skip
    assert parts.seconds == pytest.approx(together.seconds, rel=1e-6)
    assert parts.filament_mm == {0: 3.0, 1: 5.0}
    # Marlin 2 counts the extruder absolutely after G90: E1 after 6 mm is a retraction.
    assert whole.filament_mm[1] < 5.0


@pytest.mark.parametrize(
    ("arc", "length", "box"),
    [("G2 X20 Y10 I5 J0", math.pi * 5, ((10.0, 10.0), (20.0, 15.0))),
     ("G3 X20 Y10 I5 J0", math.pi * 5, ((10.0, 5.0), (20.0, 10.0))),
     ("G2 X10 Y10 I5 J0", math.tau * 5, ((10.0, 5.0), (20.0, 15.0))),
     ("G2 X20 Y10 R5", math.pi * 5, ((10.0, 10.0), (20.0, 15.0))),
     ("G3 X15 Y15 R5", math.pi * 2.5, ((10.0, 10.0), (15.0, 15.0))),
     ("G2 X15 Y15 R-5", math.pi * 7.5, ((5.0, 10.0), (15.0, 20.0))),
     ("G3 X20 Y10 R1", 10.0, ((10.0, 10.0), (20.0, 10.0))), ("G2 X20 Y10", 10.0, ((10.0, 10.0), (20.0, 10.0)))],
)  # fmt: skip
def test_arcs(arc: str, length: float, box: tuple[tuple[float, float], tuple[float, float]]) -> None:
    found = analyse(f"M83\nG1 X10 Y10 F6000\n{arc} E1 F60\n")
    assert found.printed_mm == pytest.approx(length, rel=1e-6)
    assert found.printed_box is not None
    for corner, wanted in zip(found.printed_box, box, strict=True):
        assert corner[:2] == pytest.approx(wanted, abs=1e-3)
    assert found.arcs == 1


def test_layers_by_height() -> None:
    text = "M83\n" + "".join(
        f"G1 Z{z / 10:.1f}\nG1 X{z} Y9 E1\nG1 Z{z / 10 + 1:.1f}\nG1 X0 Y0\n" for z in range(2, 12, 2)
    )
    found = analyse(text)
    assert [z for _, z in found.layers] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert found.layers[0][0] == 3


def test_retractions_are_no_filament() -> None:
    found = analyse("M83\nG1 X9 E5\nG1 E-2 F2400\nG1 X0\nG1 E2\nG1 X9 E5\nG1 E-2\n")
    assert found.filament_mm == {0: 10.0}
    assert found.retractions == 2
    assert analyse("M82\nG92 E0\nG1 X9 E5\nG92 E0\nG1 X0 E5\n").filament_mm == {0: 10.0}


def test_hostile_changes_of_limits_stay_cheap() -> None:
    text = "".join(f"M201 X{n + 1}\nG1 X{n % 7} F600\n" for n in range(20_000))
    found = analyse(text, step=200)
    assert found.lines == 40_000
    assert found.seconds > 0


def wandering(moves: int) -> str:
    """Long and short moves, curves, retractions, changing speeds, as prints have them."""
    lines = ["G28", "M83", "G1 Z0.2 F600", "M204 S1200"]
    for n in range(moves):
        angle, radius = n * 0.21, 20 + 15 * math.sin(n / 30)
        x, y = 100 + radius * math.cos(angle), 100 + radius * math.sin(angle)
        lines.append(f"G1 X{x:.3f} Y{y:.3f} E{0.02 + n % 3 / 50:.4f}" + (" F1800" if n % 40 == 0 else ""))
        if n % 25 == 0:
            lines += [
                "G1 E-1 F2100",
                f"G1 X{(n * 37) % 200} Y{(n * 53) % 200} F9000",
                "G1 E1 F2100",
                "G1 F3000",
            ]
        if n % 200 == 0:
            lines.append(f"M204 S{600 + n}")
    return "\n".join(lines) + "\n"


def test_times_agree_with_the_virtual_printer() -> None:
    text = wandering(3000)
    assert analyse(text, VIRTUAL).seconds == pytest.approx(ideal_seconds(text), rel=0.005)


def test_the_demo_part_takes_as_long_as_on_the_virtual_printer() -> None:
    text = paths.demo_part().read_text(encoding="latin-1")
    found = analyse_file(paths.demo_part(), VIRTUAL, "marlin")
    assert found.seconds == pytest.approx(ideal_seconds(text), rel=0.01)


def test_the_demo_part_agrees_with_its_slicer() -> None:
    """PrusaSlicer wrote its own estimate into the file, for these limits and classic jerk."""
    found = analyse_file(paths.demo_part(), PROFILE, "marlin")
    text = paths.demo_part().read_text(encoding="latin-1")
    assert "estimated printing time" in text
    used = float(text.split("; filament used [mm] = ")[1].split("\n")[0])
    assert sum(found.filament_mm.values()) == pytest.approx(used, rel=0.02)


def test_blocks_do_not_change_the_time() -> None:
    text = wandering(4000).encode()
    whole = analyse_blocks([text], PROFILE, "marlin")
    lines = text.splitlines(keepends=True)
    parts = analyse_blocks([b"".join(lines[n : n + 61]) for n in range(0, len(lines), 61)], PROFILE, "marlin")
    assert parts.seconds == pytest.approx(whole.seconds, rel=1e-4)
    assert (parts.printed_box, parts.filament_mm, parts.moves) == (
        whole.printed_box,
        whole.filament_mm,
        whole.moves,
    )


@pytest.mark.parametrize("rule", [{"junction_deviation_mm": 0.02}, {"square_corner_mm_s": 5.0}, {}])
def test_a_gentler_corner_rule_takes_longer(rule: dict[str, float]) -> None:
    base = replace(PROFILE, jerk_mm_s={})
    text = wandering(800)
    if rule:
        usual = replace(base, **rule)  # type: ignore[arg-type]
        gentle = replace(base, **{key: value / 4 for key, value in rule.items()})  # type: ignore[arg-type]
    else:
        usual, gentle = PROFILE, replace(PROFILE, jerk_mm_s=dict.fromkeys("xyze", 1.0))
    assert analyse(text, gentle).seconds > analyse(text, usual).seconds


def test_memory_does_not_grow_with_the_file() -> None:
    """What an analyser keeps between blocks is a few moves and the index."""
    analyser = Analyser(PROFILE, "marlin")
    block = wandering(3000).encode()
    assert len(block) < BLOCK_BYTES
    for _ in range(20):
        analyser.feed(block)
    kept = analyser._clock._waiting
    assert len(kept) <= 20
    assert sum(len(part) for part in analyser._index._lines) < 1.2 * 20 * block.count(b"\n") / 200 + 40
