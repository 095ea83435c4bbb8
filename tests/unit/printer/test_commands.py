"""Direct commands of a person."""

from __future__ import annotations

import math

import pytest

from agent.domain.errors import RefusedError, UsageError
from agent.domain.printer import Prompt
from agent.domain.profile import HeaterLimits
from agent.printer import commands
from tests.unit.printer.prepared_files import answered, profile


@pytest.mark.parametrize(
    ("heater", "celsius", "line"),
    [("T0", 210, "M104 S210"), ("hotend", 210.5, "M104 S210.5"), ("nozzle", 0, "M104 S0"), ("B", 60, "M140 S60"),
     ("bed", 110, "M140 S110"), ("t1", 200, "M104 T1 S200"), ("chamber", 40, "M141 S40")],
)  # fmt: skip
def test_heating(heater: str, celsius: float, line: str) -> None:
    machine = profile(extruders=2, chamber=HeaterLimits(60.0))
    assert commands.heat(heater, celsius, machine) == line


@pytest.mark.parametrize(
    ("heater", "celsius"), [("T0", 261), ("B", 111), ("T0", -1), ("T0", math.nan), ("T0", math.inf)]
)
def test_heating_beyond_the_limits_is_refused(heater: str, celsius: float) -> None:
    with pytest.raises(RefusedError) as caught:
        commands.heat(heater, celsius, profile())
    assert caught.value.code == "too_hot"


@pytest.mark.parametrize("heater", ["T1", "C", "chamber", "", "T", "T-1", "X", "B0", "M112"])
def test_heaters_this_printer_does_not_have(heater: str) -> None:
    with pytest.raises(UsageError):
        commands.heat(heater, 50, profile())


def test_homing() -> None:
    assert commands.home("") == "G28"
    assert commands.home("xz") == "G28 X Z"
    assert commands.home("X Y") == "G28 X Y"
    with pytest.raises(UsageError):
        commands.home("E")
    with pytest.raises(UsageError):
        commands.home("X\nM112")


def test_console_lines_obey_the_rules() -> None:
    assert commands.checked("M105", profile(), "marlin") == "M105"
    for line in ("M104 S999", "M997", "M502\nM500"):
        with pytest.raises((RefusedError, UsageError)):
            commands.checked(line, profile(), "marlin")
    for line in ("", "   ", "; nothing"):
        with pytest.raises((RefusedError, UsageError)):
            commands.checked(line, profile(), "marlin")


def test_cooling_is_everything_off() -> None:
    assert commands.cool(profile()) == ["M104 S0", "M140 S0", "M107"]


def test_answers_to_prompts() -> None:
    prompt = Prompt("Filament?", ("Continue", "Cancel"))
    assert commands.answer(1, prompt, answered(PROMPT_SUPPORT=True)) == b"M876 S1\n"
    assert commands.answer(0, prompt, answered()) == b"M108\n"
    assert commands.answer(0, Prompt("Go on"), answered()) == b"M108\n"
    for choice in (2, -1):
        with pytest.raises(UsageError):
            commands.answer(choice, prompt, answered())
