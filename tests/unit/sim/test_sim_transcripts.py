"""Answers of Marlin 2.1 and 2.0, line by line as observed on the wire."""

from __future__ import annotations

import re

import pytest

from agent.sim.firmware import Firmware, FirmwareConfig
from tests.unit.sim.firmware_rig import Rig, framed

NUMBER_ERROR = "Error:Line Number is not Last Line Number+1, Last Line: {}"
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
            "echo: Last Updated: 2024-07-30 | Author: (none, default config)",
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


class TestNumberedLines:
    def test_checksum_mismatch(self, rig: Rig) -> None:
        assert rig.send("N2 M105*1") == ["Error:checksum mismatch, Last Line: 1", "Resend: 2", "ok"]

    def test_a_number_too_far_ahead(self, rig: Rig) -> None:
        assert rig.send("N9 M105*46") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]

    def test_no_checksum(self, rig: Rig) -> None:
        answer = ["Error:No Checksum with line number, Last Line: 1", "Resend: 2", "ok"]
        assert rig.send("N2 M105") == answer

    def test_the_number_is_judged_before_the_checksum(self, rig: Rig) -> None:
        assert rig.send("N77 M105*0") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]

    def test_last_and_the_one_before_are_met_with_silence(self) -> None:
        rig = Rig()
        rig.send(framed(1, "G21"))
        rig.send(framed(2, "G90"))
        assert rig.send("N2 M105*37") == []
        assert rig.send("N1 M105*38") == []
        assert rig.send("N2 nonsense*999") == [], "duplicates are dropped before the checksum is looked at"
        assert rig.send("N0 M105*39") == [NUMBER_ERROR.format(2), "Resend: 3", "ok"]
        assert rig.texts() == ["G21", "G90"]
        assert rig.firmware.statistics.duplicates == 3

    def test_bare_m110_reports_the_number(self, rig: Rig) -> None:
        assert rig.send("M110") == ["Line: 1", "ok"]
        assert rig.send("N100 M110*34") == ["Line: 100", "ok"]

    def test_m110_with_a_second_number(self, rig: Rig) -> None:
        assert rig.send("N500 M110 N41*77") == ["ok"]
        assert rig.send(framed(42, "G21")) == ["ok"]

    def test_unnumbered_m110(self, rig: Rig) -> None:
        assert rig.send("M110 N7") == ["ok"]
        assert rig.send("M110") == ["Line: 7", "ok"]

    def test_an_unnumbered_m110_counts_when_executed_not_when_received(self, rig: Rig) -> None:
        rig.send("G4 S5")
        rig.send("M110 N7")
        assert rig.send("N999 M105*1") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]
        rig.wait(6)
        assert rig.send("N999 M105*1") == [NUMBER_ERROR.format(7), "Resend: 8", "ok"]

    def test_a_numbered_m110_counts_on_receipt_and_again_when_executed(self, rig: Rig) -> None:
        rig.send("G4 S5")
        rig.send(framed(41, "M110 N41"))
        rig.send(framed(42, "M73 P1"))
        rig.wait(6)
        assert rig.send("N999 M105*1") == [NUMBER_ERROR.format(41), "Resend: 42", "ok"], (
            "lines sent before the ok of M110 are asked for again"
        )

    def test_the_text_m110_anywhere_in_a_numbered_line_sets_the_number(self, rig: Rig) -> None:
        body = b"N2 M118 see M110 N77"
        checksum = 0
        for byte in body:
            checksum ^= byte
        assert checksum == 73
        assert rig.send(body + b"*73\n") == ["see M110 N77", "ok"]
        assert rig.send("M110") == ["Line: 77", "ok"]

    def test_lines_of_95_characters_pass_and_96_never_do(self, rig: Rig) -> None:
        text = "M117 " + "x" * 100
        for size, accepted in ((95, True), (96, False), (97, False)):
            line = next(
                f
                for f in (framed(rig.firmware.board.counter.last + 1, text[:k]) for k in range(100))
                if len(f) == size + 1
            )
            assert (rig.send(line) == ["ok"]) is accepted, size
        assert rig.firmware.statistics.rejected == 2

    def test_a_comment_before_the_checksum_loses_it(self, rig: Rig) -> None:
        assert rig.send("N2 M105 ; note*14") == [
            "Error:No Checksum with line number, Last Line: 1",
            "Resend: 2",
            "ok",
        ]

    def test_the_probe_with_an_impossible_number_finds_the_last_line(self, rig: Rig) -> None:
        rig.send(b"N2 G1 X")  # the host died in the middle of a line
        assert rig.send("") == ["Error:No Checksum with line number, Last Line: 1", "Resend: 2", "ok"]
        assert rig.send("N999999999 M105*46") == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]
        assert rig.send(framed(2, "G1 X26 F600")) == ["ok"]

    def test_after_a_reset_the_counter_is_zero(self, rig: Rig) -> None:
        rig.firmware.reset(rig.now)
        rig.heard()
        assert rig.send("N999999999 M105*46") == [NUMBER_ERROR.format(0), "Resend: 1", "ok"]

    def test_four_lines_in_one_write_give_four_oks(self, rig: Rig) -> None:
        data = b"".join(framed(n, "G21") for n in range(2, 6))
        assert rig.send(data) == ["ok"] * 4

    def test_the_ring_goes_with_the_rejected_line(self, rig: Rig) -> None:
        data = b"N2 G21*1\n" + b"".join(framed(n, "G21") for n in range(3, 6))
        assert rig.send(data) == ["Error:checksum mismatch, Last Line: 1", "Resend: 2", "ok"]
        assert rig.firmware.statistics.flushed_bytes == 3 * len(framed(3, "G21"))

    def test_errors_of_2_0_end_with_cr_lf_while_ok_ends_with_lf(self) -> None:
        rig = Rig(dialect="marlin-2.0")
        rig.firmware.receive(b"N2 M105*1\n", rig.now)
        assert rig.firmware.transmit(rig.now) == (
            b"Error:Line Number is not Last Line Number+1, Last Line: 0\r\nResend: 1\r\nok\n"
        )

    def test_2_0_answers_duplicates(self) -> None:
        rig = Rig(dialect="marlin-2.0")
        rig.send(framed(1, "G21"))
        assert rig.send(framed(1, "G21")) == [NUMBER_ERROR.format(1), "Resend: 2", "ok"]
        assert rig.send("M110") == ["ok"]


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
        rig.send("G92 X1 Y2 Z3 E4")
        assert rig.send("M114") == ["X:1.00 Y:2.00 Z:3.00 E:4.00 Count X:80 Y:160 Z:1200", "ok"]

    def test_m118_forms(self, rig: Rig) -> None:
        assert rig.send("M118 E1 token") == ["echo:token", "ok"]
        assert rig.send("M118 A1 action:pause") == ["//action:pause", "ok"]
        assert rig.send("M118 plain text") == ["plain text", "ok"]


class TestLongCommands:
    def test_m109(self, rig: Rig) -> None:
        rig.send("M109 S200")
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
        assert lines[-2:] == ["X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0", "ok"]
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

    def test_invalid_extruders_are_named(self, rig: Rig) -> None:
        assert rig.send("T5") == ["echo:T5 Invalid extruder", "ok"]
        assert rig.send("M104 T3 S200") == ["echo:M104 Invalid extruder 3", "ok"]
        assert rig.send("T0") == ["ok"]


class TestAdvancedOk:
    def test_forms(self) -> None:
        rig = Rig(advanced_ok=True)
        assert rig.send(framed(1, "G21")) == ["ok N1 P15 B3"]
        assert rig.send("G21") == ["ok P15 B3"]
        assert rig.send(framed(2, "M105"))[0].startswith("ok T:")
        rig.send(framed(3, "G1 X50 F60"))
        assert rig.send(framed(4, "G21")) == ["ok N4 P14 B3"]

    def test_the_ok_behind_a_resend_lies_on_2_0_and_is_bare_on_2_1(self) -> None:
        old = Rig(advanced_ok=True, dialect="marlin-2.0")
        old.send(framed(1, "G21"))
        old.send(framed(2, "G4 P2500"))
        assert old.send("N3 G21*0")[1:] == ["Resend: 3", "ok N2 P15 B3"]
        new = Rig(advanced_ok=True)
        new.send(framed(1, "G4 P2500"))
        assert new.send("N2 G21*0")[1:] == ["Resend: 2", "ok"]


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
