"""Heaters that somebody forgot."""

from __future__ import annotations

from agent.domain.printer import Temperature
from agent.printer.safety import IdleHeat


def test_idle_heat_is_named_after_the_timeout() -> None:
    idle = IdleHeat(600.0)
    hot = {"T0": Temperature(200.0, 200.0), "B": Temperature(60.0, 60.0), "C": Temperature(30.0)}
    assert idle.observe(hot, 0.0, in_use=True) == ()
    assert idle.observe(hot, 100.0, in_use=False) == ()
    assert idle.observe(hot, 599.0, in_use=False) == ()
    assert idle.observe(hot, 600.0, in_use=False) == ("B", "T0")
    assert idle.observe(hot, 601.0, in_use=False) == ()
    assert idle.observe(hot, 1200.0, in_use=False) == ("B", "T0")


def test_a_changed_target_starts_the_idle_time_anew() -> None:
    idle = IdleHeat(600.0)
    idle.observe({"T0": Temperature(20.0, 200.0)}, 0.0, in_use=False)
    idle.observe({"T0": Temperature(20.0, 210.0)}, 500.0, in_use=False)
    assert idle.observe({"T0": Temperature(20.0, 210.0)}, 1099.0, in_use=False) == ()
    assert idle.observe({"T0": Temperature(20.0, 210.0)}, 1100.0, in_use=False) == ("T0",)


def test_idle_heat_can_be_switched_off_and_cold_heaters_do_not_count() -> None:
    hot = {"T0": Temperature(200.0, 200.0)}
    off = IdleHeat(0.0)
    assert [off.observe(hot, now * 1000.0, in_use=False) for now in range(5)] == [()] * 5
    idle = IdleHeat(60.0)
    assert [idle.observe({"T0": Temperature(200.0)}, now * 50.0, in_use=False) for now in range(5)] == [
        ()
    ] * 5
