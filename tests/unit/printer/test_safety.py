"""Heaters as they behave when healthy, and each way of failing."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.job import Reason
from agent.domain.printer import Temperature
from agent.domain.profile import PrinterProfile
from agent.printer.safety import Action, Fault, HeaterWatch, limits_of
from tests.unit.printer.heater_plants import AMBIENT_C, BED, HOTEND, LIMITS, Plant, bed, hotend, run, settled


@settings(max_examples=20, deadline=None)
@given(
    key=st.sampled_from(["T0", "T1"]),
    target=st.floats(150, 295),
    spare=st.floats(0.25, 1.5),
    tau_s=st.floats(60, 200),
    noise_c=st.floats(0, 1.0),
    dt_s=st.sampled_from([1.0, 2.0, 3.0, 5.0]),
    seed=st.integers(0, 1000),
)
def test_a_healthy_nozzle_raises_no_alarm(
    *, key: str, target: float, spare: float, tau_s: float, noise_c: float, dt_s: float, seed: int
) -> None:
    full = target + (target - AMBIENT_C) * spare
    plant = Plant(full, tau_s, lag_s=3.0, noise_c=noise_c, seed=seed)
    watch = HeaterWatch(LIMITS)

    def program(now: float) -> None:
        plant.target = 0.0 if now < 20 or now > 1500 else target if now < 800 else target - 60

    assert run(watch, key, plant, 2000, dt_s=dt_s, at=program) == []


@settings(max_examples=20, deadline=None)
@given(
    target=st.floats(40, 110),
    spare=st.floats(0.12, 1.0),
    minutes=st.floats(1, 20),
    noise_c=st.floats(0, 1.0),
    dt_s=st.sampled_from([1.0, 2.0, 5.0]),
    seed=st.integers(0, 1000),
)
def test_a_healthy_bed_raises_no_alarm_even_if_it_takes_twenty_minutes(
    *, target: float, spare: float, minutes: float, noise_c: float, dt_s: float, seed: int
) -> None:
    gain = target - AMBIENT_C
    tau_s = minutes * 60 / math.log((gain * (1 + spare)) / (gain * spare + 2))
    plant = Plant(
        AMBIENT_C + gain * (1 + spare), tau_s, lag_s=min(20.0, tau_s / 8), noise_c=noise_c, seed=seed
    )
    watch = HeaterWatch(LIMITS)

    def program(now: float) -> None:
        plant.target = 0.0 if now < 20 or now > 4000 else target if now < 2500 else max(30.0, target - 35)

    assert run(watch, "B", plant, 5000, dt_s=dt_s, at=program) == []


@pytest.mark.parametrize("dt_s", [1.0, 2.0, 5.0])
@pytest.mark.parametrize(("key", "plant", "within_s"), [("T0", hotend, 75.0), ("B", bed, 330.0)])
def test_a_heater_that_does_not_heat_is_found(
    key: str, plant: Callable[[], Plant], within_s: float, dt_s: float
) -> None:
    heater = plant()
    heater.dead = True
    heater.target = 100.0
    since, alarm = run(HeaterWatch(LIMITS), key, heater, 600, dt_s=dt_s)[0]
    assert since <= within_s
    assert (alarm.fault, alarm.kind, alarm.action) == (Fault.STUCK, Reason.HEATER_STUCK, Action.COOL_DOWN)
    assert (alarm.heater, alarm.target) == (key, 100.0)
    assert key in alarm.detail
    assert "100" in alarm.detail


@pytest.mark.parametrize("dt_s", [1.0, 5.0])
def test_a_nozzle_that_dies_at_its_target_is_found(dt_s: float) -> None:
    plant = hotend()
    watch = settled("T0", plant, 210.0, 400)
    plant.dead = True
    since, alarm = run(watch, "T0", plant, 300, start_s=400, dt_s=dt_s)[0]
    assert since <= 100
    assert alarm.fault is Fault.FALLING
    assert alarm.kind is Reason.HEATER_FALLING


def test_a_bed_that_dies_at_its_target_is_found() -> None:
    plant = bed()
    watch = settled("B", plant, 100.0, 1500)
    plant.dead = True
    since, alarm = run(watch, "B", plant, 1000, start_s=1500)[0]
    assert since <= 450
    assert alarm.fault is Fault.FALLING


def test_a_dip_that_recovers_is_no_alarm() -> None:
    plant = hotend()
    watch = settled("T0", plant, 210.0, 400)

    def cold_air(now: float) -> None:
        plant.dead = 10 < now < 40

    assert run(watch, "T0", plant, 300, start_s=400, at=cold_air) == []


@pytest.mark.parametrize(
    ("key", "plant", "target", "within_s"), [("T0", hotend, 200.0, 60), ("B", bed, 60.0, 420)]
)
def test_a_shorted_switch_is_found(
    key: str, plant: Callable[[], Plant], target: float, within_s: float
) -> None:
    heater = plant()
    watch = settled(key, heater, target, 1500)
    heater.shorted = True
    alarms = run(watch, key, heater, 600, start_s=1500)
    since, alarm = alarms[0]
    assert since <= within_s
    assert alarm.fault is Fault.RUNAWAY
    assert alarm.action is Action.COOL_DOWN
    later, halt = alarms[1]
    assert halt.action is Action.HALT
    assert 15 <= later - since <= 25


def test_a_heater_that_is_off_and_heats_is_found() -> None:
    plant = hotend()
    plant.shorted = True
    since, alarm = run(HeaterWatch(LIMITS), "T0", plant, 200)[0]
    assert since <= 40
    assert alarm.fault is Fault.RUNAWAY
    assert alarm.target == 0.0
    assert "off" in alarm.detail


def test_residual_heat_after_switching_off_is_no_alarm() -> None:
    plant = Plant(full_c=420.0, tau_s=130.0, lag_s=12.0)
    watch = HeaterWatch(LIMITS)

    def program(now: float) -> None:
        plant.target = 220.0 if now < 60 else 0.0

    assert run(watch, "T0", plant, 600, at=program) == []


def test_a_nozzle_warmed_by_its_neighbours_is_no_alarm() -> None:
    watch = HeaterWatch(LIMITS)
    alarms = []
    for now in range(3600):
        warm = 20 + 60 * (1 - math.exp(-now / 600))
        alarms += watch.observe({"T1": Temperature(warm, 0.0)}, float(now))
    assert alarms == []


def test_the_limit_holds_for_readings_and_for_targets() -> None:
    watch = HeaterWatch(LIMITS)
    assert watch.observe({"B": Temperature(40.0, 130.0)}, 1.0) == []
    (alarm,) = watch.observe({"B": Temperature(40.0, 130.0)}, 2.0)
    assert alarm.fault is Fault.OVER_LIMIT
    assert alarm.kind is Reason.HEATER_RUNAWAY
    assert "120" in alarm.detail


def test_one_damaged_reading_is_no_alarm() -> None:
    watch = HeaterWatch(LIMITS)
    for now in range(60):
        actual = 921.0 if now == 30 else 21.0
        assert watch.observe({"T0": Temperature(actual, 0.0)}, float(now)) == []


def test_over_the_limit_while_cooling_stays_one_alarm() -> None:
    watch = HeaterWatch(LIMITS)
    alarms = []
    for now in range(400):
        target = 0.0 if now > 5 else 315.0
        alarms += watch.observe({"T0": Temperature(330.0 - now / 10, target)}, float(now))
        alarms += watch.tick(float(now))
    assert [alarm.action for alarm in alarms] == [Action.COOL_DOWN]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -15.0, -55.7, 2000.0])
def test_an_unbelievable_sensor_is_an_alarm_only_with_heat_on(broken: float) -> None:
    watch = HeaterWatch(LIMITS)
    for now in range(10, 20):
        assert watch.observe({"T0": Temperature(broken, 0.0)}, float(now)) == []
    watch.observe({"T0": Temperature(21.0, 200.0)}, 20.0)
    watch.observe({"T0": Temperature(broken, 200.0)}, 21.0)
    (alarm,) = watch.observe({"T0": Temperature(broken, 200.0)}, 22.0)
    assert alarm.fault is Fault.SENSOR
    (halt,) = watch.tick(60.0)
    assert halt.action is Action.HALT


def test_a_sensor_that_jumps_is_found() -> None:
    plant = hotend()
    watch = settled("T0", plant, 210.0, 400)
    alarms = []
    for now in range(401, 410):
        alarms += watch.observe({"T0": Temperature(24.0, 210.0)}, float(now))
    assert [alarm.fault for alarm in alarms] == [Fault.SENSOR]
    assert "jumped" in alarms[0].detail


def test_first_readings_of_zero_are_not_real() -> None:
    watch = HeaterWatch(LIMITS)
    watch.restart(0.0)
    assert watch.observe({"T0": Temperature(0.0), "B": Temperature(0.0)}, 0.1) == []
    for now in range(1, 30):
        assert watch.observe({"T0": Temperature(190.0), "B": Temperature(60.0)}, float(now)) == []


def test_silence_with_heat_on() -> None:
    plant = hotend()
    watch = settled("T0", plant, 210.0, 400)
    alarms = [(now, alarm) for now in range(400, 600) for alarm in watch.tick(float(now))]
    (first, cool), (second, halt) = alarms
    assert 460 <= first <= 462
    assert cool.fault is Fault.SILENT
    assert cool.kind is Reason.HEATER_SILENT
    assert cool.heater == ""
    assert halt.action is Action.HALT
    assert second - first == 20


def test_silence_without_heat_is_no_alarm() -> None:
    watch = HeaterWatch(LIMITS)
    watch.observe({"T0": Temperature(25.0, 0.0)}, 1.0)
    assert watch.tick(10_000.0) == []
    assert HeaterWatch(LIMITS).tick(5.0) == []


def test_a_blocking_command_excuses_silence_for_a_while_only() -> None:
    plant = bed()
    watch = settled("B", plant, 60.0, 900)
    assert [alarm for now in range(901, 1790) for alarm in watch.tick(float(now), blocked=True)] == []
    assert watch.tick(1802.0, blocked=True)[0].fault is Fault.SILENT


def test_after_a_blocking_command_the_next_report_has_its_time() -> None:
    plant = bed()
    watch = settled("B", plant, 60.0, 900)
    for now in range(901, 1200):
        watch.tick(float(now), blocked=True)
    assert watch.tick(1230.0) == []
    assert watch.tick(1262.0)[0].fault is Fault.SILENT


def test_a_heater_that_vanishes_from_the_reports_is_found() -> None:
    plant = bed()
    watch = settled("B", plant, 60.0, 900)
    alarms = []
    for now in range(901, 2000):
        alarms += [(now, alarm) for alarm in watch.observe({"T0": Temperature(25.0)}, float(now))]
    assert alarms[0][0] <= 1802
    assert alarms[0][1].fault is Fault.SILENT
    assert "B" in alarms[0][1].detail


def test_lines_without_targets_do_not_switch_a_heater_off() -> None:
    plant = hotend(noise_c=0.0)
    watch = HeaterWatch(LIMITS)
    plant.target = 210.0
    watch.observe({"T0": plant.step(1.0)}, 0.0)
    for now in range(1, 200):
        bare = {"T0": Temperature(plant.step(1.0).actual)}
        assert watch.observe(bare, float(now), has_targets=False) == []
    plant.dead = True
    alarms = []
    for now in range(200, 400):
        bare = {"T0": Temperature(plant.step(1.0).actual)}
        alarms += watch.observe(bare, float(now), has_targets=False)
    assert alarms[0].fault is Fault.FALLING


def test_connecting_in_the_middle_of_a_heat_up_that_names_no_target() -> None:
    watch = HeaterWatch(LIMITS)
    for now in range(200):
        bare = {"T0": Temperature(min(210.0, 20.0 + 2 * now))}
        assert watch.observe(bare, float(now), has_targets=False) == []
    assert watch.observe({"T0": Temperature(210.0, 210.0)}, 201.0) == []


def test_a_chamber_need_not_arrive() -> None:
    watch = HeaterWatch(LIMITS)
    for now in range(4000):
        assert watch.observe({"C": Temperature(min(45.0, 20 + now / 60), 60.0)}, float(now)) == []


def test_sensors_without_limits_are_not_watched() -> None:
    watch = HeaterWatch({"T": HOTEND})
    for now in range(100):
        temperatures = {"B": Temperature(400.0, 90.0), "P": Temperature(0.0), "A": Temperature(45.0)}
        assert watch.observe(temperatures, float(now)) == []


def test_an_obeyed_alarm_ends_and_a_new_fault_is_a_new_alarm() -> None:
    plant = hotend()
    plant.dead = True
    plant.target = 200.0
    watch = HeaterWatch(LIMITS)
    first = run(watch, "T0", plant, 80)
    assert [alarm.action for _, alarm in first] == [Action.COOL_DOWN]
    plant.target = 0.0
    assert run(watch, "T0", plant, 60, start_s=80) == []
    plant.target = 200.0
    second = run(watch, "T0", plant, 80, start_s=140)
    assert [alarm.fault for _, alarm in second] == [Fault.STUCK]


@pytest.mark.parametrize("speed", [10.0, 50.0])
def test_a_fast_simulation_is_watched_by_its_own_clock(speed: float) -> None:
    healthy = Plant(full_c=420.0, tau_s=130.0 / speed, lag_s=4.0 / speed)
    healthy.target = 210.0
    assert run(HeaterWatch(LIMITS, speed), "T0", healthy, 60, dt_s=0.25) == []
    dead = Plant(full_c=420.0, tau_s=130.0 / speed, lag_s=4.0 / speed)
    dead.dead, dead.target = True, 210.0
    since, alarm = run(HeaterWatch(LIMITS, speed), "T0", dead, 60, dt_s=0.25)[0]
    assert since <= 10
    assert alarm.fault is Fault.STUCK


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.dictionaries(
                st.sampled_from(["T0", "T1", "B", "C", "X", ""]),
                st.builds(Temperature, st.floats(), st.floats(allow_nan=False, min_value=0, max_value=500)),
                max_size=4,
            ),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_any_stream_of_readings_is_survived(
    stream: list[tuple[float, dict[str, Temperature], bool]],
) -> None:
    watch = HeaterWatch(LIMITS)
    now = 0.0
    for step, temperatures, has_targets in stream:
        now += step
        for alarm in (*watch.observe(temperatures, now, has_targets=has_targets), *watch.tick(now)):
            assert alarm.heater == "" or alarm.heater[0] in LIMITS
            assert alarm.detail


def test_limits_of_a_profile() -> None:
    profile = PrinterProfile("p", "P", "", (220, 220, 250), 0.4, 1, HOTEND, BED, None)
    assert limits_of(profile) == {"T": HOTEND, "B": BED}
