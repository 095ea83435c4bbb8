"""What replies say about the printer."""

from __future__ import annotations

from agent.domain.printer import Prompt, Temperature
from agent.printer.replies import parse_line
from agent.printer.tracker import Tracked, answered, is_heater, track


def told(*lines: str, state: Tracked | None = None) -> Tracked:
    state = state or Tracked()
    for line in lines:
        for reply in parse_line(line.encode()):
            state = track(state, reply, 5.0)
    return state


def test_temperatures_are_merged_and_dated() -> None:
    state = told("ok T:21.5 /200.0 B:22.5 /60.0 @:64 B@:0", "T:30.0 /200.0")
    assert state.temperatures["T0"] == Temperature(30.0, 200.0, None)
    assert state.temperatures["B"].target == 60.0
    assert state.temperatures_at == 5.0


def test_a_reading_that_is_no_number_changes_nothing() -> None:
    state = told("T:21.5 /200.0 B:22.5 /60.0 @:64 B@:0", "T:nan /200.0 B:23.0 /60.0 @:64 B@:0")
    assert state.temperatures["T0"].actual == 21.5
    assert state.temperatures["B"].actual == 23.0


def test_the_position_is_the_last_one() -> None:
    assert told("X:1.00 Y:2.00 Z:3.00 E:4.00 Count X:0 Y:0 Z:0").position == {"X": 1, "Y": 2, "Z": 3, "E": 4}


def test_a_host_prompt_from_begin_to_end() -> None:
    lines = [
        "//action:prompt_end",
        "//action:prompt_begin Change the filament",
        "//action:prompt_button Continue",
        "//action:prompt_choice Cancel",
        "//action:prompt_show",
    ]
    state = told(*lines)
    assert state.prompt == Prompt("Change the filament", ("Continue", "Cancel"))
    assert told("//action:prompt_end", state=state).prompt is None
    assert answered(state).prompt is None


def test_a_button_without_a_prompt_is_nothing() -> None:
    assert told("//action:prompt_button Continue").prompt is None


def test_waiting_for_a_person_is_a_prompt_of_its_own() -> None:
    state = told("echo:busy: paused for user")
    assert state.waiting_for_user
    assert state.prompt is not None
    assert state.prompt.choices == ("Continue",)
    assert not told("echo:busy: processing", state=state).waiting_for_user
    asked = told("//action:prompt_begin Why", "echo:busy: paused for user")
    assert asked.prompt == Prompt("Why")


def test_messages() -> None:
    assert told("//action:notification Sleep...").message == "Sleep..."
    assert "kill" in told("Error:Printer halted. kill() called!").message
    assert "cold extrusion" in told("echo: cold extrusion prevented").message


def test_everything_else_changes_nothing() -> None:
    assert told("ok", "echo:whatever", "Cap:EEPROM:1", "\xff\xfe", "Resend: 5", "wait") == Tracked()


def test_which_keys_are_heaters() -> None:
    assert all(map(is_heater, ["T0", "T1", "B", "C"]))
    assert not any(map(is_heater, ["P", "A", "X", "T", "TX", ""]))
