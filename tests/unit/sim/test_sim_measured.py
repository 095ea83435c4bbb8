"""The model beside figures measured on real Marlin boards: 2,000 short moves at 60 mm/s on a circle.

"A" is Marlin 2.1 on a fast processor, "B" Marlin 2.0 on an AVR, which spends 4 to 5 ms on a move.
"""

from __future__ import annotations

from math import cos, sin

import pytest

from tests.unit.sim.firmware_rig import Rig, framed

A_COMMAND_S = 0.0003
B_COMMAND_S = 0.0045
HOST_S = 0.0003  # from hearing an ok to writing the next line
RADIUS_MM = 20.0


def circle(segment_mm: float) -> list[str]:
    lines = []
    for k in range(1, 2001):
        angle = k * segment_mm / RADIUS_MM
        lines.append(f"G1 X{110 + RADIUS_MM * cos(angle):.3f} Y{110 + RADIUS_MM * sin(angle):.3f} E.01330")
    return lines


def print_circle(segment_mm: float, window: int, **settings: object) -> tuple[float, float, int]:
    """Ideal time, time taken, and how often the planner ran dry."""
    rig = Rig(**settings)
    for line in ("M302 P1", "M83", "G92 X130 Y110", "G1 F3600"):
        rig.send(line)
        rig.until_ok()
    lines, sent, done = circle(segment_mm), 0, 0
    while done < len(lines):
        while sent < len(lines) and sent - done < window:
            sent += 1
            rig.firmware.receive(framed(sent, lines[sent - 1]), rig.now)
        done += rig.until_ok().count("ok")
        rig.now += HOST_S
    rig.wait(5)
    rig.firmware.summary(rig.now)
    record = rig.firmware.statistics.current
    assert rig.firmware.statistics.lost_bytes == 0
    assert record.lines == 2000
    return record.ideal_s, record.actual_s, record.starved


def test_a_window_of_one_is_enough_for_150_lines_a_second() -> None:
    ideal, actual, dry = print_circle(0.4, 1, baud=115200, command_s=A_COMMAND_S)
    assert ideal == pytest.approx(13.43, rel=0.01)
    assert actual == pytest.approx(13.44, rel=0.01)
    assert dry == 0


def test_a_window_of_one_starves_300_lines_a_second_without_ever_running_dry() -> None:
    ideal, actual, dry = print_circle(0.2, 1, baud=115200, command_s=A_COMMAND_S)
    assert ideal == pytest.approx(6.77, rel=0.02)
    assert actual == pytest.approx(9.0, rel=0.08)
    assert dry == 0


@pytest.mark.parametrize(("window", "measured_s"), [(1, 18.23), (2, 13.53)])
def test_an_avr_needs_two_lines_in_flight(window: int, measured_s: float) -> None:
    _, actual, dry = print_circle(0.4, window, baud=115200, command_s=B_COMMAND_S, dialect="marlin-2.0")
    assert actual == pytest.approx(measured_s, rel=0.1)
    assert dry == 0
