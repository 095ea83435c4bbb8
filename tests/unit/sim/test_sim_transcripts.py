"""Answers of Marlin 2.1 and 2.0, line by line as observed on the wire."""

from __future__ import annotations

import re

import pytest

from agent.sim.firmware import Firmware, FirmwareConfig
from tests.unit.sim.firmware_rig import Rig, framed

TEMPERATURES = re.compile(r"T:-?\d+\.\d\d /\d+\.\d\d B:-?\d+\.\d\d /\d+\.\d\d @:\d+ B@:\d+")


@pytest.fixture
def rig() -> Rig:
    """Marlin 2.1 whose last line is 1, ADVANCED_OK off."""
    rig = Rig()
    assert rig.send(framed(1, "G21")) == ["ok"]
    return rig


class TestBoot:
    def test_the_first_line_is_start_and_there_is_no_ok(self) -> None:
        lines = Rig().boot_text.splitlines()
        assert lines[:7] == [
            "start",
            "PowerUp",
            "Marlin bugfix-2.1.x",
            "echo: Last Updated: 2025-01-28 | Author: (none, default config)",
            "echo: Compiled: Nov 22 2026",
            "echo: Free Memory: 0  PlannerBufferBytes: 1472",
            "//action:notification Hardcoded Default Settings Loaded",
        ]
        assert lines[-1] == "//action:prompt_end"
        assert "echo:  M92 X80.00 Y80.00 Z400.00 E500.00" in lines
        assert not any(line.startswith("ok") for line in lines)

    def test_the_dump_takes_more_than_a_tenth_of_a_second_at_115200(self) -> None:
        firmware = Firmware(FirmwareConfig(baud=115200))
        firmware.boot(0.0)
        assert len(firmware.transmit(0.1)) == 1152, "a tenth of a second at ten bits a byte"
        assert firmware.transmit(0.25) != b""
        assert firmware.transmit(9.0) == b""

    def test_the_first_reading_after_boot_is_zero(self) -> None:
        rig = Rig()
        rig.firmware.reset(rig.now)
        rig.heard()
        rig.now += 0.03
        assert rig.send("M105") == ["ok T:0.00 /0.00 B:0.00 /0.00 @:0 B@:0"]
        rig.now += 0.03
        assert not rig.send("M105")[0].startswith("ok T:0.00")

    def test_after_a_reset_the_cause_is_named(self) -> None:
        rig = Rig()
        rig.firmware.reset(rig.now)
        assert rig.heard()[:3] == ["start", " External Reset", "Marlin bugfix-2.1.x"]


class TestQuietAndUnknown:
    @pytest.mark.parametrize("line", ["", ";", "; comment only", ";N3 M105*1"])
    def test_empty_lines_and_comments_get_no_answer(self, rig: Rig, line: str) -> None:
        assert rig.send(line) == []

    def test_unknown_commands_are_echoed(self, rig: Rig) -> None:
        assert rig.send("M9999") == ['echo:Unknown command: "M9999"', "ok"]
        assert rig.send("m105") == ['echo:Unknown command: "m105"', "ok"]
        assert rig.send("   ") == ['echo:Unknown command: ""', "ok"]
        assert rig.send(framed(2, "M9999")) == ['echo:Unknown command: "M9999"', "ok"]

    def test_cr_lf_and_cr_from_the_host_are_fine(self, rig: Rig) -> None:
        assert rig.send(b"G21\r\nG21\rG21\n") == ["ok"] * 3


class TestReports:
    def test_m105_is_one_line(self, rig: Rig) -> None:
        (line,) = rig.send("M105")
        assert TEMPERATURES.fullmatch(line.removeprefix("ok "))

    def test_m155_lines_have_a_blank_and_no_ok(self, rig: Rig) -> None:
        assert rig.send("M155 S1") == ["ok"]
        lines = rig.timeline(3.5)
        assert [round(t, 6) for t, _ in lines] == [1, 2, 3]
        assert all(text[0] == " " and TEMPERATURES.fullmatch(text[1:]) for _, text in lines)
        rig.send("M155 S0")
        assert rig.wait(5) == []

    def test_m154_lines(self, rig: Rig) -> None:
        rig.send("M154 S1")
        assert rig.wait(1.5) == ["X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0"]

    def test_reports_go_on_during_long_moves(self, rig: Rig) -> None:
        rig.send("M155 S1")
        rig.send("G4 S4")
        assert [line for line in rig.wait(3.5) if line.startswith(" T:")] != []

    def test_m115(self, rig: Rig) -> None:
        lines = rig.send("M115")
        assert lines[0].startswith("FIRMWARE_NAME:Marlin bugfix-2.1.x (")
        assert " KINEMATICS:Cartesian EXTRUDER_COUNT:1 UUID:" in lines[0]
        assert sum(line.startswith("Cap:") for line in lines) == 36
        assert "Cap:EMERGENCY_PARSER:1" in lines
        assert lines[-1] == "ok"
        assert "Cap:EMERGENCY_PARSER:0" in Rig(emergency_parser=False).send("M115")

    def test_m503_ends_with_ok(self, rig: Rig) -> None:
        rig.send("M203 X123")
        lines = rig.send("M503")
        assert "echo:  M203 X123.00 Y300.00 Z5.00 E25.00" in lines
        assert lines[-1] == "ok"

    def test_m114_gives_the_planned_place_and_the_steps(self, rig: Rig) -> None:
        rig.send("G1 X1 Y2 Z3 F6000")
        assert rig.send("M114") == ["X:1.00 Y:2.00 Z:3.00 E:0.00 Count X:80 Y:160 Z:1200", "ok"], (
            "of the move that has only begun"
        )

    def test_m118_forms(self, rig: Rig) -> None:
        assert rig.send("M118 E1 token") == ["echo:token", "ok"]
        assert rig.send("M118 A1 action:pause") == ["//action:pause", "ok"]
        assert rig.send("M118 plain text") == ["plain text", "ok"]
        assert rig.send("M118 A1 E1 both") == ["echo://both", "ok"]
        assert rig.send("M118 P0 to all ports") == ["to all ports", "ok"]
        assert rig.send("M118 A0 no flag") == ["A0 no flag", "ok"]


class TestLongCommands:
    def test_m109(self, rig: Rig) -> None:
        (first,) = rig.send("M109 S200")
        assert first.endswith(" W:?"), "the first report comes at once"
        lines = rig.timeline(200)
        waits = [(t, text) for t, text in lines if " W:" in text]
        assert all(re.fullmatch(r" T:.* @:\d+ B@:0 W:(\?|\d)", text) for _, text in waits)
        assert [round(t) for t, _ in waits[:3]] == [1, 2, 3]
        assert [text.rpartition("W:")[2] for _, text in waits if not text.endswith("?")] == list("9876543210")
        busy = [round(t) for t, text in lines if text == "echo:busy: processing"]
        assert busy == list(range(2, 2 * len(busy) + 1, 2))
        assert lines[-1][1] == "ok"

    def test_nothing_is_answered_behind_m109(self, rig: Rig) -> None:
        rig.send("M109 S60")
        assert rig.send("M105") == []
        lines = rig.wait(200)
        assert [line[:4] for line in lines if line.startswith("ok")] == ["ok", "ok T"]

    def test_g28_prints_a_position_before_its_ok(self, rig: Rig) -> None:
        rig.send("G28")
        lines = rig.wait(60)
        assert lines[-2:] == ["X:0.00 Y:0.00 Z:5.00 E:0.00 Count X:0 Y:0 Z:2000", "ok"]
        assert "echo:busy: processing" in lines

    def test_dwell_of_seven_seconds(self, rig: Rig) -> None:
        rig.send("G4 S7")
        busy = "echo:busy: processing"
        timeline = [(round(t, 6), text) for t, text in rig.timeline(20)]
        assert timeline == [(2, busy), (4, busy), (6, busy), (7, "ok")]

    def test_a_move_that_waits_for_room_is_busy_too(self, rig: Rig) -> None:
        for k in range(15):
            assert rig.send(f"G1 X{5 * (k + 1)} F60") == ["ok"]
        rig.wait(0.2)  # the first move runs
        began = rig.now
        assert rig.send("G1 X100 F60") == []
        timeline = rig.timeline(6)
        assert [text for _, text in timeline] == ["echo:busy: processing", "echo:busy: processing", "ok"]
        assert [round(t) for t, _ in timeline[:2]] == [2, 4]
        assert rig.now - began == pytest.approx(6)

    def test_m113(self, rig: Rig) -> None:
        assert rig.send("M113") == ["echo:M113 S2", "ok"]
        rig.send("M113 S0")
        rig.send("G4 S9")
        assert rig.wait(20) == ["ok"]

    @pytest.mark.parametrize("answer", ["M108", "M876 S0"])
    def test_m0_waits_for_the_person(self, rig: Rig, answer: str) -> None:
        lines = rig.send("M0 Change the plate") + rig.wait(4.5)
        assert lines == [
            "//action:prompt_end",
            "//action:prompt_begin Change the plate",
            "//action:prompt_button Continue",
            "//action:prompt_show",
            "echo:busy: paused for user",
            "echo:busy: paused for user",
        ]
        assert rig.send(answer) + rig.wait(0.01) == ["ok", "ok"]

    def test_the_button_ends_m0(self, rig: Rig) -> None:
        rig.send("M0")
        rig.firmware.press_button(rig.now)
        assert rig.heard() == ["ok"]

    def test_m600_parks_and_waits(self, rig: Rig) -> None:
        rig.send("M600")
        assert "echo:busy: paused for user" in rig.wait(20)
        rig.firmware.press_button(rig.now)
        assert rig.until_ok()[-1] == "ok"

    def test_m410_takes_about_a_second(self, rig: Rig) -> None:
        rig.send("G1 X100 F600")
        rig.wait(2)
        assert rig.send("M410") == []
        timeline = rig.timeline(5)
        assert [text for _, text in timeline] == ["ok"]
        assert 1.0 <= timeline[0][0] <= 1.15
        x = rig.firmware.board.motion.position[0]
        assert 15 < x < 25, "the tool stopped where it was"


class TestStops:
    def test_m112(self, rig: Rig) -> None:
        assert rig.send("M112") == [
            "echo:M112 Shutdown",
            "Error:Printer halted. kill() called!",
            "//action:poweroff",
        ]
        assert rig.send("M105") == []
        assert rig.wait(100) == []
        assert rig.firmware.board.hotend.target == 0.0

    def test_m112_on_2_0(self) -> None:
        assert Rig(dialect="marlin-2.0").send("M112") == ["Error:Printer halted. kill() called!"]

    def test_the_dead_man_timer(self, rig: Rig) -> None:
        rig.send("M85 S4")
        assert rig.wait(10) == [
            "Error:!! KILL caused by too much inactive time - current command: M85 S4",
            "Error:Printer halted. kill() called!",
            "//action:poweroff",
        ]

    def test_moves_and_blocking_heat_hold_the_dead_man_back(self, rig: Rig) -> None:
        rig.send("M85 S4")
        rig.send("G1 X10 F60")
        rig.wait(9)
        assert rig.firmware.power == "running"
        rig.send("M109 S60")
        rig.wait(25)
        assert rig.firmware.power == "running"
        rig.send("M85 S0")
        rig.wait(100)
        assert rig.firmware.power == "running"

    def test_cold_extrusion_is_prevented_with_an_ok(self, rig: Rig) -> None:
        assert rig.send("G1 E5") == ["echo: cold extrusion prevented", "ok"]
        rig.send("M302 P1")
        assert rig.send("G1 E10") == ["ok"]

    def test_m104_is_clamped_silently(self, rig: Rig) -> None:
        assert rig.send("M104 S400") == ["ok"]
        assert rig.firmware.board.hotend.target == 260.0

    def test_2_0_names_invalid_extruders(self) -> None:
        old = Rig(dialect="marlin-2.0")
        assert old.send("T5") == ["echo:T5 Invalid extruder", "ok"]
        assert old.send("M104 T3 S200") == ["echo:M104 Invalid extruder 3", "ok"]
        assert old.firmware.board.hotend.target == 0.0
        assert old.send("T0") == ["ok"]

    def test_2_1_for_one_extruder_takes_any_tool_for_it(self, rig: Rig) -> None:
        assert rig.send("T5") == ["ok"]
        assert rig.send("M104 T3 S200") == ["ok"]
        assert rig.firmware.board.hotend.target == 200.0
        assert rig.send("T-1") == ['echo:Unknown command: "T-1"', "ok"]

    def test_an_extrusion_of_more_than_200_mm_is_prevented_with_an_ok(self, rig: Rig) -> None:
        rig.send("M302 P1")
        assert rig.send("G1 E201 F6000") == ["echo: too long extrusion prevented", "ok"]
        assert rig.send("M114")[0].startswith("X:0.00 Y:0.00 Z:0.00 E:201.00 "), "the coordinate counts on"


def test_wait_once_a_second_while_idle() -> None:
    rig = Rig(no_timeouts=True)
    assert rig.wait(3.5)[-3:] == ["wait"] * 3
    rig.send("G4 S5")
    assert "wait" not in rig.wait(4.9)


def test_g92_reports_the_new_position_before_its_ok() -> None:
    """Marlin bugfix-2.1.x of 2025-01 on its native build."""
    rig = Rig()
    rig.heard()
    assert rig.send("G92 E12.5") == ["X:0.00 Y:0.00 Z:0.00 E:12.50 Count X:0 Y:0 Z:0", "ok"]
