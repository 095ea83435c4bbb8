"""Heaters to watch: first-order models with sensors that lag and noise, healthy or broken."""

from __future__ import annotations

import random
from collections.abc import Callable

from agent.domain.printer import Temperature
from agent.domain.profile import HeaterLimits
from agent.printer.safety import Alarm, HeaterWatch

HOTEND = HeaterLimits(max_c=300.0)
BED = HeaterLimits(max_c=120.0)
CHAMBER = HeaterLimits(max_c=80.0)
LIMITS = {"T": HOTEND, "B": BED, "C": CHAMBER}
AMBIENT_C = 20.0


class Plant:
    """A first-order heater under on/off control with a sensor that lags behind it."""

    def __init__(
        self, full_c: float, tau_s: float, lag_s: float = 4.0, noise_c: float = 0.0, seed: int = 0
    ) -> None:
        self.full_c, self.tau_s, self.lag_s, self.noise_c = full_c, tau_s, lag_s, noise_c
        self.core = self.sensed = AMBIENT_C
        self.target = 0.0
        self.dead = self.shorted = False
        self.random = random.Random(seed)

    def step(self, dt_s: float) -> Temperature:
        left = dt_s
        while left > 1e-9:
            dt = min(0.25, self.lag_s / 8, left)
            left -= dt
            on = self.shorted or (not self.dead and self.sensed < self.target)
            goal = self.full_c if on else AMBIENT_C
            self.core += (goal - self.core) * dt / self.tau_s
            self.sensed += (self.core - self.sensed) * dt / self.lag_s
        return Temperature(self.sensed + self.random.uniform(-self.noise_c, self.noise_c), self.target)


def run(
    watch: HeaterWatch,
    key: str,
    plant: Plant,
    seconds: float,
    *,
    start_s: float = 0.0,
    dt_s: float = 1.0,
    at: Callable[[float], None] = lambda now: None,
) -> list[tuple[float, Alarm]]:
    """Feed the watch with the plant for so long; returns the alarms with the time since `start_s`."""
    alarms = []
    for step in range(1, int(seconds / dt_s) + 1):
        since = step * dt_s
        at(since)
        now = start_s + since
        alarms += [(since, alarm) for alarm in watch.observe({key: plant.step(dt_s)}, now)]
        alarms += [(since, alarm) for alarm in watch.tick(now)]
    return alarms


def hotend(noise_c: float = 0.3) -> Plant:
    return Plant(full_c=420.0, tau_s=130.0, noise_c=noise_c)


def bed(noise_c: float = 0.2) -> Plant:
    return Plant(full_c=140.0, tau_s=500.0, lag_s=15.0, noise_c=noise_c)


def settled(key: str, plant: Plant, target: float, seconds: float) -> HeaterWatch:
    watch = HeaterWatch(LIMITS)
    plant.target = target
    assert run(watch, key, plant, seconds) == []
    assert abs(plant.sensed - target) < 6
    return watch
