"""Heat: curves, holding, noise, faults and the firmware's protection."""

from __future__ import annotations

from math import inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sim.heaters import ADC_SETTLE_S, AMBIENT_C, BED, HOTEND, NOISE_C, Heater, ThermalFault
from tests.unit.sim.firmware_rig import Rig

TIME_TO_200_S = HOTEND.tau_s * log((HOTEND.ceiling_c - AMBIENT_C) / (HOTEND.ceiling_c - 200.0))


class TestHeater:
    def test_it_heats_along_its_curve_and_then_holds(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 10.0)
        assert heater.reached_at() == pytest.approx(10.0 + TIME_TO_200_S)
        assert 60.0 < TIME_TO_200_S < 120.0, "as real hotends do"
        assert AMBIENT_C < heater.at(40.0) < heater.at(60.0) < 200.0
        assert heater.at(1000.0) == 200.0
        assert heater.holding(1000.0)

    def test_it_cools_down_to_ambient(self) -> None:
        heater = Heater(HOTEND, start_c=200.0)
        heater.set_target(0.0, 0.0)
        assert heater.at(HOTEND.tau_s) == pytest.approx(AMBIENT_C + (200.0 - AMBIENT_C) / 2.718281828)
        assert heater.at(1e6) == pytest.approx(AMBIENT_C)
        assert heater.power(10.0) == 0

    def test_a_lower_target_is_reached_by_cooling(self) -> None:
        heater = Heater(HOTEND, start_c=200.0)
        heater.set_target(150.0, 0.0)
        assert heater.power(1.0) == 0
        assert heater.reached_at() == pytest.approx(HOTEND.tau_s * log(178.0 / 128.0))
        assert heater.at(1e6) == 150.0
        assert 0 < heater.power(1e6) < 127

    def test_full_power_while_rising(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 0.0)
        assert heater.power(1.0) == 127

    def test_speed_up(self) -> None:
        heater = Heater(HOTEND, 10.0)
        heater.set_target(200.0, 0.0)
        assert heater.reached_at() == pytest.approx(TIME_TO_200_S / 10.0)

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 300)), min_size=1, max_size=20),
        st.floats(0, 100),
    )
    def test_temperature_never_jumps_and_stays_in_bounds(
        self, steps: list[tuple[float, float]], probe: float
    ) -> None:
        heater, now = Heater(HOTEND), 0.0
        for wait_s, target in steps:
            now += wait_s
            before = heater.at(now)
            heater.set_target(target, now)
            assert heater.at(now) == pytest.approx(before)
        assert AMBIENT_C - 1e-6 <= heater.at(now + probe) <= HOTEND.max_target_c + 1e-6

    def test_readings_are_noisy_but_close_and_repeatable(self) -> None:
        heater = Heater(BED)
        readings = [heater.reading(t / 10.0) for t in range(100)]
        assert len(set(readings)) > 50
        assert all(abs(r - AMBIENT_C) <= NOISE_C for r in readings)
        assert readings == [heater.reading(t / 10.0) for t in range(100)]

    def test_no_reading_right_after_a_reset(self) -> None:
        heater = Heater(HOTEND)
        heater.restart_sensor(5.0)
        assert heater.reading(5.0 + ADC_SETTLE_S / 2) == 0.0
        assert heater.reading(5.0 + ADC_SETTLE_S) > 20.0


class TestFaults:
    def test_healthy_heaters_never_trip(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 0.0)
        assert heater.trip() == (inf, "")

    def test_runaway_at_temperature(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 0.0)
        heater.inject(ThermalFault.RUNAWAY, 200.0)
        at, reason = heater.trip()
        below = HOTEND.tau_s * log((200.0 - AMBIENT_C) / (196.0 - AMBIENT_C))
        assert at == pytest.approx(200.0 + below + HOTEND.protect_s)
        assert reason == "Thermal Runaway"

    def test_no_heat_while_rising_is_heating_failed(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 0.0)
        heater.inject(ThermalFault.RUNAWAY, 10.0)
        at, reason = heater.trip()
        assert at == pytest.approx(10.0 + HOTEND.watch_s)
        assert reason == "Heating failed"

    def test_a_frozen_sensor_at_temperature_goes_unnoticed_by_the_firmware(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 0.0)
        heater.inject(ThermalFault.STUCK, 500.0)
        assert heater.trip() == (inf, "")
        assert heater.reading(600.0) == heater.reading(700.0)

    def test_a_frozen_sensor_while_rising_is_heating_failed(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 0.0)
        heater.inject(ThermalFault.STUCK, 10.0)
        assert heater.trip()[1] == "Heating failed"

    def test_a_heater_that_cannot_be_switched_off(self) -> None:
        heater = Heater(HOTEND)
        heater.inject(ThermalFault.MOSFET, 0.0)
        at, reason = heater.trip()
        assert reason == "MAXTEMP triggered"
        assert heater.at(at) == pytest.approx(HOTEND.max_temp_c)
        heater.set_target(0.0, at)
        assert heater.at(at + 10) > HOTEND.max_temp_c, "no command helps"

    def test_mending_brings_it_back(self) -> None:
        heater = Heater(HOTEND)
        heater.set_target(200.0, 0.0)
        heater.inject(ThermalFault.RUNAWAY, 200.0)
        heater.inject(ThermalFault.NONE, 210.0)
        assert heater.trip() == (inf, "")
        assert heater.at(1000.0) == 200.0


class TestOnTheWire:
    @pytest.mark.parametrize(
        ("fault", "after", "reason"),
        [
            ("runaway", None, "Thermal Runaway"),
            ("runaway", 5.0, "Heating failed"),
            ("disconnected", 5.0, "MINTEMP triggered"),
            ("stuck", 5.0, "Heating failed"),
            ("mosfet", None, "MAXTEMP triggered"),
        ],
    )
    def test_the_board_kills_itself(self, fault: str, after: float | None, reason: str) -> None:
        rig = Rig(thermal_fault=ThermalFault(fault), thermal_fault_after_s=after, speed=10.0)
        rig.send("M104 S200")
        lines = rig.wait(60)
        assert lines == [
            f"Error:{reason}, system stopped! Heater_ID: E0",
            "Error:Printer halted. kill() called!",
            "//action:poweroff",
        ]
        assert rig.events("kill")[0]["cause"] == f"thermal: {reason}"
        assert rig.send("M105") == []

    def test_a_stuck_reading_is_seen_by_the_host_only(self) -> None:
        rig = Rig(thermal_fault=ThermalFault.STUCK, speed=100.0)
        rig.send("M104 S200")
        rig.wait(10)
        first, second = rig.send("M105"), (rig.wait(1), rig.send("M105"))[1]
        assert first[0].split(" B:")[0] == second[0].split(" B:")[0]

    def test_heat_outlives_a_reset_but_targets_do_not(self) -> None:
        rig = Rig(speed=100.0)
        rig.send("M104 S200")
        rig.wait(5)
        rig.firmware.reset(rig.now)
        rig.wait(0.1)
        line = rig.send("M105")[0]
        assert " /0.00 B:" in line
        assert float(line.split("T:")[1].split()[0]) > 150

    def test_m109_r_waits_for_cooling_and_s_does_not(self) -> None:
        rig = Rig(speed=10.0)
        rig.send("M109 S200")
        rig.until_ok()
        assert rig.send("M109 S150") == ["ok"]
        assert [line.rpartition(" ")[2] for line in rig.send("M109 R100")] == ["W:?"]
        rig.until_ok()
        assert rig.firmware.board.hotend.at(rig.now) == pytest.approx(100, abs=1)

    def test_m190_reports_too(self) -> None:
        rig = Rig(speed=10.0)
        rig.send("M190 S60")
        lines = rig.until_ok()
        assert any(line.endswith("W:?") for line in lines)
        assert rig.firmware.board.bed.at(rig.now) == pytest.approx(60)
