"""Commands that report what they would set, positions, and the print timer, as Marlin answers them."""

from __future__ import annotations

import pytest

from agent.sim.settings import PrintTimer, duration
from tests.unit.sim.firmware_rig import Rig, framed


@pytest.fixture
def rig() -> Rig:
    """Marlin 2.1 in its default build."""
    return Rig(build="default")


class TestReadingBack:
    @pytest.mark.parametrize(
        ("command", "answer"),
        [
            ("M92", "  M92 X80.00 Y80.00 Z400.00 E500.00"),
            ("M200", "  M200 S0 D1.75"),
            ("M201", "  M201 X3000.00 Y3000.00 Z100.00 E10000.00"),
            ("M203", "  M203 X300.00 Y300.00 Z5.00 E25.00"),
            ("M204", "  M204 P3000.00 R3000.00 T3000.00"),
            ("M205", "  M205 B20000.00 S0.00 T0.00 J0.01"),
            ("M206", "  M206 X0.00 Y0.00 Z0.00"),
            ("M220", "FR:100%"),
            ("M221", "echo:E0 Flow: 100%"),
            ("M301", "  M301 P22.20 I1.08 D114.00"),
            ("M302", "echo:Cold extrudes are disabled (min temp 170C)"),
            ("M85", "Inactivity timeout 0 s."),
            ("M31", "echo:Print time: 0s"),
            ("M111", "echo:DEBUG:off"),
            ("M500", "Warning:EEPROM disabled"),
            ("M205 J0.5", "Error:?J out of range (0.01 to 0.3)"),
            ("G2 X5", "Error:G2/G3 bad parameters"),
        ],
    )
    def test_marlin_2_1(self, rig: Rig, command: str, answer: str) -> None:
        assert rig.send(command) == [answer, "ok"]

    @pytest.mark.parametrize(
        ("dialect", "command", "answer"),
        [
            ("marlin-2.0", "M92", ["echo: M92 X80.00 Y80.00 Z400.00 E500.00"]),
            ("marlin-2.0", "M203", []),
            ("marlin-2.0", "M204", ["Acceleration: P3000.00 R3000.00 T3000.00"]),
            ("marlin-2.0", "M220", ["FR:100%"]),
            ("marlin-2.0", "M301", ["echo: p:22.20 i:1.08 d:114.00"]),
            ("marlin-2.0", "M301 P20", ["echo: p:20.00 i:1.08 d:114.00"]),
            ("marlin-2.0", "M85", []),
            ("marlin-2.0", "M500", ["Error:EEPROM disabled"]),
            (
                "marlin-2.0",
                "M211 S0",
                ["echo:Soft endstops: OFF  Min:  X0.00 Y0.00 Z0.00   Max:  X220.00 Y220.00 Z250.00"],
            ),
            ("marlin-1.1", "M92", []),
            ("marlin-1.1", "M220", []),
            (
                "marlin-1.1",
                "M211",
                ["echo:Soft endstops: On  Min: X0.00 Y0.00 Z0.00  Max: X220.00 Y220.00 Z250.00"],
            ),
            ("klipper", "M220", []),
            ("smoothieware", "M301", []),
        ],
    )
    def test_other_families(self, dialect: str, command: str, answer: list[str]) -> None:
        assert Rig(dialect=dialect).send(command) == [*answer, "ok"]

    def test_what_was_set_is_reported(self, rig: Rig) -> None:
        for command in ("M92 X81", "M203 Z10", "M204 P700 T900", "M205 J0.02", "M221 S95", "M301 P20"):
            assert rig.send(command) == ["ok"]
        assert rig.send("M92")[0] == "  M92 X81.00 Y80.00 Z400.00 E500.00"
        assert rig.send("M204")[0] == "  M204 P700.00 R3000.00 T900.00"
        assert rig.send("M205")[0] == "  M205 B20000.00 S0.00 T0.00 J0.02"
        assert rig.send("M221 T3")[0] == "echo:E0 Flow: 95%", "there is only one extruder, whatever its name"
        assert rig.send("M301")[0] == "  M301 P20.00 I1.08 D114.00"
        assert rig.send("M501")[-1] == "ok"
        assert rig.send("M92")[0] == "  M92 X80.00 Y80.00 Z400.00 E500.00", "M501 went back to the build's"

    def test_m220_backs_up_and_restores(self, rig: Rig) -> None:
        for command, percent in (("M220 S120", 120), ("M220 B", 120), ("M220 S50", 50), ("M220 R", 120)):
            assert rig.send(command) == ["ok"]
            assert rig.send("M220") == [f"FR:{percent}%", "ok"]

    def test_m302_sets_and_lifts_the_limit(self, rig: Rig) -> None:
        rig.send("M302 S150")
        assert rig.send("M302")[0] == "echo:Cold extrudes are disabled (min temp 150C)"
        rig.send("M302 P1")
        assert rig.send("M302")[0] == "echo:Cold extrudes are enabled (min temp 150C)"

    def test_letters_without_a_value_set_nothing(self, rig: Rig) -> None:
        rig.send("M104 S200")
        rig.send("M104 S")
        assert rig.firmware.board.hotend.target == 200.0
        rig.send("G1 X7 F6000")
        for command in ("G1 X", "G1 Xnan", "G92 X", "G1 F"):
            rig.send(command)
        assert rig.send("M114")[0].startswith("X:7.00 ")
        rig.send("M85 S60")
        rig.send("M85 S")
        assert rig.send("M85")[0] == "Inactivity timeout 0 s."

    def test_m999_with_s1_asks_for_nothing(self, rig: Rig) -> None:
        assert rig.send("M999 S1") == ["ok"]
        assert rig.send("M999") == ["Resend: 1", "ok", "ok"]

    def test_m85_tells_its_seconds(self, rig: Rig) -> None:
        rig.send("M85 S60")
        assert rig.send("M85") == ["Inactivity timeout 60 s.", "ok"]

    def test_m503_without_comments(self, rig: Rig) -> None:
        lines = rig.send("M503 S0")
        assert lines[:3] == ["  G21 ; (mm)", "  M149 C ; Units in Celsius", "  M200 S0 D1.75"]
        assert len(lines) == 11

    def test_m211_says_where_the_limits_are_and_lifts_them(self, rig: Rig) -> None:
        rig.send("G28 X")
        rig.until_ok()
        rig.send("G1 X-3 F6000")
        assert rig.send("M114")[0].startswith("X:0.00 ")
        assert rig.send("M211 S0") == ["ok"]
        assert rig.send("M211") == [
            "  M211 S0 ; OFF",
            "  Min:  X0.00 Y0.00 Z0.00   Max:  X220.00 Y220.00 Z250.00",
            "ok",
        ]
        rig.send("G1 X-3")
        assert rig.send("M114")[0] == "X:-3.00 Y:0.00 Z:5.00 E:0.00 Count X:-240 Y:0 Z:2000"

    def test_texts_handed_on_end_with_cr_lf(self, rig: Rig) -> None:
        rig.firmware.receive(b"M118 hi there\nM118 trailing blank \n", rig.now)
        assert rig.firmware.transmit(rig.now) == b"hi there\r\nok\ntrailing blank \r\nok\n"
        rig.firmware.receive(framed(1, "M118 see M110 N77"), rig.now)
        assert rig.firmware.transmit(rig.now) == b"see M110 N77\r\nok\n"

    def test_2_0_ends_capabilities_with_cr_lf_and_halts_with_lf(self) -> None:
        old = Rig(dialect="marlin-2.0")
        old.firmware.receive(b"M115\n", old.now)
        text = old.firmware.transmit(old.now)
        assert b"Cap:AUTOREPORT_TEMP:1\r\n" in text
        assert text.endswith(b"Cap:CHAMBER_TEMPERATURE:0\r\nok\n")
        old.firmware.receive(b"M112\n", old.now)
        assert old.firmware.transmit(old.now) == b"Error:Printer halted. kill() called!\n"

    def test_old_action_commands_have_a_blank(self) -> None:
        assert Rig(dialect="marlin-2.0").send("M118 A1 action:pause") == ["// action:pause", "ok"]


class TestPositions:
    def test_homing_lifts_the_nozzle_and_leaves_it_there(self, rig: Rig) -> None:
        rig.send("G28 X")
        assert rig.until_ok()[-2:] == ["X:0.00 Y:0.00 Z:5.00 E:0.00 Count X:0 Y:0 Z:2000", "ok"]
        assert rig.send("M119") == [
            "Reporting endstop status",
            "x_min: TRIGGERED",
            "y_min: open",
            "z_min: open",
            "ok",
        ]

    def test_before_homing_no_end_stop_is_pressed(self, rig: Rig) -> None:
        assert rig.send("M119")[1:4] == ["x_min: open", "y_min: open", "z_min: open"]

    def test_g92_shifts_coordinates_but_no_steps(self, rig: Rig) -> None:
        rig.send("G1 Z3 F300")
        rig.wait(3)
        assert rig.send("G92 X100 Y5") == ["X:100.00 Y:5.00 Z:3.00 E:0.00 Count X:0 Y:0 Z:1200", "ok"]
        rig.send("G1 X110 F6000")
        assert rig.send("M114")[0] == "X:110.00 Y:5.00 Z:3.00 E:0.00 Count X:800 Y:0 Z:1200"
        rig.wait(1)
        for command in ("G92", "G92.1"):
            assert rig.send(command)[0] == "X:110.00 Y:5.00 Z:3.00 E:0.00 Count X:800 Y:0 Z:1200"
        rig.send("G28 X")
        assert rig.until_ok()[-2] == "X:0.00 Y:5.00 Z:5.00 E:0.00 Count X:0 Y:0 Z:2000"

    def test_g92_tells_the_steps_made_and_m114_those_planned(self, rig: Rig) -> None:
        rig.send("G1 X100 F600")
        rig.wait(2)
        moving = rig.send("G92 E0")[0]
        assert 0 < int(moving.partition("Count X:")[2].split()[0]) < 8000
        assert rig.send("M114")[0].endswith("Count X:8000 Y:0 Z:0")

    def test_m206_answers_with_the_position(self, rig: Rig) -> None:
        assert rig.send("M206 X1") == ["X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0", "ok"]
        assert rig.send("M206")[0] == "  M206 X1.00 Y0.00 Z0.00"

    def test_a_radius_too_small_for_the_way_makes_a_half_circle(self, rig: Rig) -> None:
        assert rig.send("G2 X10 R1 F6000") + rig.until_ok() == ["ok"]
        assert rig.send("M114")[0].startswith("X:10.00 Y:0.00 ")

    def test_a_stop_after_a_shift_ends_in_shifted_coordinates(self, rig: Rig) -> None:
        rig.send("G92 X100")
        rig.send("G1 X200 F600")
        rig.wait(3)
        rig.send("M410")
        rig.until_ok()
        x = rig.firmware.board.motion.position[0]
        assert 120 < x < 140
        assert rig.send("M114")[0].split()[5] == f"X:{round((x - 100) * 80)}"

    def test_old_marlin_waits_for_the_moves_before_m114(self) -> None:
        old = Rig(dialect="marlin-1.1")
        old.send("G1 X10 F600")
        assert old.send("M114") == []
        assert old.until_ok()[0] == "X:10.00 Y:0.00 Z:0.00 E:0.00 Count X:800 Y:0 Z:0"

    def test_mk3_counts_in_millimetres(self) -> None:
        line = Rig(dialect="prusa-mk3").send("M114")[0]
        assert line == "X:0.00 Y:0.00 Z:0.00 E:0.00 Count X: 0.00 Y:0.00 Z:0.00 E:0.00"

    @pytest.mark.parametrize("dialect", ["klipper", "reprapfirmware"])
    def test_a_bare_g92_clears_elsewhere(self, dialect: str) -> None:
        rig = Rig(dialect=dialect)
        rig.send("G92 X5")
        rig.send("G92")
        assert rig.firmware.board.motion.position == (0.0, 0.0, 0.0, 0.0)


class TestPrintTimer:
    def test_m75_to_m77(self, rig: Rig) -> None:
        rig.send("M75")
        rig.wait(65)
        assert rig.send("M31") == ["echo:Print time: 1m 5s", "ok"]
        rig.send("M76")
        rig.wait(30)
        rig.send("M75")
        rig.wait(5)
        rig.send("M77")
        rig.wait(30)
        assert rig.send("M31") == ["echo:Print time: 1m 10s", "ok"]
        rig.send("M75")
        assert rig.send("M31") == ["echo:Print time: 0s", "ok"], "after a stop it starts anew"

    def test_a_wait_for_heat_starts_it_and_cold_heaters_stop_it(self, rig: Rig) -> None:
        rig.send("M109 S100")
        rig.until_ok()
        rig.send("M104 S0")
        first = rig.send("M31")
        assert first != ["echo:Print time: 0s", "ok"]
        rig.wait(100)
        assert rig.send("M31") == first

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0s"), (59.9, "59s"), (3600, "1h 0m 0s"), (90061, "1d 1h 1m 1s"), (31536000, "1y 0d 0h 0m 0s")],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text

    def test_pausing_a_timer_that_stands_changes_nothing(self) -> None:
        timer = PrintTimer()
        timer.pause(5.0)
        timer.start(10.0)
        timer.start(12.0)
        assert timer.elapsed_s(15.0) == 5.0


class TestHeatWaits:
    def test_a_target_already_held_takes_a_third_longer(self, rig: Rig) -> None:
        rig.send("M109 S60")
        rig.until_ok()
        rig.send("M109 S60")
        timeline = rig.timeline(20)
        ended, ok = timeline[-1]
        assert ok == "ok"
        assert ended == pytest.approx(40 / 3)
        assert [text.rpartition("W:")[2] for _, text in timeline if "W:" in text][:2] == ["12", "11"]

    def test_m109_r0_waits_until_it_no_longer_cools(self) -> None:
        rig = Rig(build="default", speed=20.0)
        rig.send("M109 S60")
        rig.until_ok()
        assert rig.send("M109 R0")[0].endswith("W:?")
        assert rig.send("M105") == []
        rig.until_ok()
        assert rig.firmware.board.hotend.at(rig.now) < 40.0

    def test_m108_ends_that_wait_too(self) -> None:
        rig = Rig(speed=20.0)
        rig.send("M109 S60")
        rig.until_ok()
        rig.send("M109 R0")
        assert rig.send("M108") == ["ok", "ok"]
