"""Stopping a printer: with and without the emergency parser, in every state of its buffers."""

from __future__ import annotations

import pytest

from tests.unit.sim.firmware_rig import Rig, framed

HALT = ["echo:M112 Shutdown", "Error:Printer halted. kill() called!", "//action:poweroff"]


def clogged(**settings: object) -> Rig:
    """A printer whose planner, slots and ring are all full, paced at 115200 baud."""
    rig = Rig(baud=115200, **settings)
    rig.firmware.receive(b"M104 S200\n", rig.now)
    rig.wait(0.1)
    for k in range(30):
        rig.firmware.receive(framed(k + 1, f"G1 X{k * 5} F30"), rig.now)
        rig.wait(0.05)
    assert rig.firmware.board.planner.full
    assert rig.firmware.statistics.lost_bytes > 0
    return rig


class TestWithEmergencyParser:
    def test_m112_stops_within_ten_milliseconds_when_everything_is_full(self) -> None:
        rig = clogged()
        rig.firmware.receive(b"\nM112\n", rig.now)
        rig.wait(0.01)
        assert rig.firmware.power == "killed"
        assert rig.firmware.board.hotend.target == 0.0
        (stop,) = rig.firmware.statistics.stops
        assert stop["delay_s"] == 0.0
        assert stop["wire_s"] == pytest.approx(6 * 10 / 115200, abs=1e-6)

    def test_a_numbered_m112_with_a_wrong_checksum_stops_too(self) -> None:
        rig = Rig()
        rig.send("M109 S200")
        assert rig.send("N7 M112*1") == HALT

    def test_half_a_line_in_front_hides_m112(self) -> None:
        rig = Rig()
        rig.send(b"G1 X")
        assert rig.send("M112") == ["ok"]
        assert rig.firmware.power == "running"

    def test_m108_ends_a_wait_for_heat(self) -> None:
        rig = Rig()
        rig.send("M109 S200")
        rig.wait(5)
        assert rig.send("M108") + rig.wait(0.001) == ["ok", "ok"]
        assert rig.firmware.board.hotend.target == 200.0

    def test_m876_answers_a_prompt_but_ends_no_heat_up(self) -> None:
        rig = Rig()
        rig.send("M109 S200")
        rig.send("M876 S0")
        assert "ok" not in rig.wait(5)

    def test_m410_drops_planned_motion_behind_a_full_planner(self) -> None:
        rig = clogged()
        before = rig.firmware.board.planner.position(rig.now)
        assert before is not None
        rig.firmware.receive(b"\nM410\n", rig.now)
        rig.wait(0.002)
        assert rig.firmware.board.planner.count == 0
        assert rig.firmware.board.motion.position[0] == pytest.approx(before[0], abs=0.5)
        rig.wait(10)
        assert rig.firmware.power == "running"

    def test_bytes_that_find_no_room_are_still_seen(self) -> None:
        rig = clogged(rx_buffer=64)
        rig.firmware.receive(b"x" * 200 + b"\nM112\n", rig.now)
        rig.wait(0.1)
        assert rig.firmware.power == "killed"

    def test_a_usb_port_that_holds_bytes_back_holds_m112_back_too(self) -> None:
        rig = Rig(baud=0, rx_buffer=64)
        rig.send("G4 S60")
        rig.send(b"G21\n" * 100)
        assert rig.send("M112") == []
        assert rig.firmware.power == "running"
        assert HALT[0] in rig.wait(70)


def test_a_parser_that_is_announced_may_be_deaf() -> None:
    rig = Rig(deaf_parser=True)
    assert "Cap:EMERGENCY_PARSER:1" in rig.send("M115")
    rig.send("M109 S60")
    assert rig.send("M108") == []
    assert rig.send("M112") == []
    assert HALT[0] in rig.wait(100)


class TestWithoutEmergencyParser:
    def test_a_bare_m112_acts_when_read_even_with_commands_before_it(self) -> None:
        rig = Rig(emergency_parser=False)
        rig.send("M109 S200")
        assert rig.send("M112") == HALT

    def test_it_is_not_read_while_the_slots_are_full(self) -> None:
        rig = Rig(emergency_parser=False)
        rig.send("G4 S6")
        for _ in range(8):
            rig.send("G4 S1")
        rig.send("M112")
        assert HALT[0] not in rig.wait(6)
        assert HALT[0] in rig.wait(10)
        (stop,) = rig.firmware.statistics.stops
        assert 6.0 < float(str(stop["delay_s"])) < 16.0

    def test_a_numbered_m112_waits_for_its_turn(self) -> None:
        rig = Rig(emergency_parser=False)
        rig.send("G4 S8.5")
        rig.send(framed(1, "M112"))
        assert HALT[0] not in rig.wait(8)
        assert HALT[0] in rig.wait(1)

    def test_any_line_that_starts_with_m112_kills(self) -> None:
        assert Rig(emergency_parser=False).send("M112x") == HALT

    def test_m108_is_taken_when_read(self) -> None:
        rig = Rig(emergency_parser=False)
        rig.send("M109 S200")
        assert rig.send("M108") + rig.wait(0.001) == ["ok", "ok"]

    def test_m876_is_useless_behind_m0(self) -> None:
        rig = Rig(emergency_parser=False)
        rig.send("M0")
        rig.send("M876 S0")
        assert "ok" not in rig.wait(60)


class TestDeadBoards:
    def test_a_killed_board_is_silent_until_reset(self) -> None:
        rig = Rig()
        rig.send("M112")
        assert rig.send(framed(1, "G21")) == []
        assert rig.wait(1000) == []
        rig.firmware.reset(rig.now)
        assert rig.heard()[0] == "start"
        assert rig.send(framed(1, "G21")) == ["ok"]

    def test_a_dead_mcu_swallows_everything(self) -> None:
        rig = Rig(baud=115200)
        rig.send("M155 S1")
        rig.wait(2)
        rig.firmware.die(rig.now)
        rig.send("M105\nM112")
        assert rig.wait(100) == []
        rig.firmware.reset(rig.now)
        assert "start" in rig.wait(1)

    def test_a_reset_in_the_middle_forgets_everything_but_heat(self) -> None:
        rig = clogged()
        rig.wait(30)
        hot = rig.firmware.board.hotend.at(rig.now)
        rig.firmware.reset(rig.now)
        board = rig.firmware.board
        assert (board.counter.last, board.planner.count, board.hotend.target) == (0, 0, 0.0)
        assert board.motion.position == (0.0, 0.0, 0.0, 0.0)
        assert board.hotend.at(rig.now) == pytest.approx(hot)

    def test_bytes_during_the_boot_are_lost(self) -> None:
        rig = Rig(boot_s=2.0)
        rig.now = 200.0
        rig.wait(3)
        rig.firmware.reset(rig.now)
        rig.send(framed(1, "G21"))
        assert rig.wait(1.9) == []
        lines = rig.wait(1)
        assert lines[0] == "start"
        assert "ok" not in lines
        assert rig.firmware.executed == []
