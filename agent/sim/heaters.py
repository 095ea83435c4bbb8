"""Heaters with thermal mass, and the firmware's thermal protection.

First-order model: full power drives the part towards `ceiling_c`, no power towards the ambient temperature, both with
the time constant `tau_s`; a controller heats with full power up to the target and then holds it exactly. All is
closed-form, so a temperature can be asked for at any instant. Times of the model run `speed_up` times faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp, inf, log

AMBIENT_C = 22.0
ADC_SETTLE_S = 0.05  # after a reset the first conversion is not there yet and the reading is 0
HOLD_BAND_C = 0.01  # closer to the target than this is "holding"
NOISE_C = 0.06  # peak of the reading's jitter: a healthy sensor is never perfectly still
OPEN_SENSOR_C = -14.0  # what a thermistor reads with a broken wire


class ThermalFault(StrEnum):
    """What can go wrong with a heater."""

    NONE = "none"
    RUNAWAY = "runaway"  # the cartridge no longer heats the block: the temperature falls below the target
    DISCONNECTED = "disconnected"  # the sensor's wire is broken
    STUCK = "stuck"  # the reading is frozen
    MOSFET = "mosfet"  # the heater can no longer be switched off


@dataclass(frozen=True, slots=True)
class HeaterSpec:
    """Physical and protective constants of one heater."""

    name: str  # "hotend" or "bed"
    label: str  # in the firmware's error lines
    ceiling_c: float
    tau_s: float
    max_target_c: float
    max_temp_c: float  # MAXTEMP
    min_temp_c: float  # MINTEMP
    watch_s: float  # "Heating failed": so much rise ...
    watch_rise_c: float  # ... within the watch period
    protect_s: float  # "Thermal Runaway": so long ...
    protect_c: float  # ... below the target by so much


HOTEND = HeaterSpec("hotend", "0", 420.0, 130.0, 260.0, 275.0, 5.0, 40.0, 2.0, 40.0, 4.0)
BED = HeaterSpec("bed", "bed", 145.0, 250.0, 110.0, 125.0, 5.0, 60.0, 2.0, 20.0, 2.0)


class Heater:
    """One heater. `at` reads the true temperature, `reading` what the sensor says."""

    def __init__(self, spec: HeaterSpec, speed_up: float = 1.0, start_c: float = AMBIENT_C) -> None:
        self.spec = spec
        self.target = 0.0
        self.fault = ThermalFault.NONE
        self._scale = speed_up
        self._from_c = start_c
        self._since = 0.0
        self._toward = AMBIENT_C
        self._hold_at = inf  # instant from which the target is held
        self._watch_since = inf  # when a rise began to be expected
        self._frozen_c = 0.0
        self._adc_from = -inf

    # --- the physics ---------------------------------------------------------------------------------------

    def at(self, now: float) -> float:
        """True temperature in °C."""
        if now >= self._hold_at:
            return self.target
        elapsed = max(0.0, now - self._since) * self._scale
        return self._toward + (self._from_c - self._toward) * exp(-elapsed / self.spec.tau_s)

    def _time_until(self, temperature: float) -> float:
        """Instant at which the present curve passes `temperature`; infinity when never."""
        span, rest = self._from_c - self._toward, temperature - self._toward
        if not span or rest / span <= 0.0:
            return inf
        if rest / span >= 1.0:
            return self._since
        return self._since + self.spec.tau_s * log(span / rest) / self._scale

    def _curve(self, now: float) -> None:
        """Start a new curve at `now` from the present temperature, target and fault."""
        here = self.at(now)
        self._from_c, self._since, self._hold_at = here, now, inf
        heats = self.target > AMBIENT_C and here <= self.target + HOLD_BAND_C
        if self.fault is ThermalFault.MOSFET:
            self._toward = self.spec.ceiling_c
            return
        if self.fault is ThermalFault.RUNAWAY or not self.target:
            self._toward = AMBIENT_C
            return
        if self.fault is ThermalFault.STUCK and self.target:
            self._toward = self.spec.ceiling_c if self._frozen_c < self.target else AMBIENT_C
            return
        self._toward = self.spec.ceiling_c if heats else AMBIENT_C
        self._hold_at = self._time_until(self.target)

    # --- the controls --------------------------------------------------------------------------------------

    def set_target(self, target_c: float, now: float) -> None:
        """Command a temperature in °C; it is held within 0 and the heater's maximum, silently, as Marlin does."""
        here = self.at(now)
        self._from_c, self._since, self._hold_at = here, now, inf
        self.target = max(0.0, min(target_c, self.spec.max_target_c))
        self._curve(now)
        rises = self.target > self.reading(now) + self.spec.watch_rise_c
        self._watch_since = now if rises else inf

    def inject(self, fault: ThermalFault, now: float) -> None:
        """Break the heater, or mend it with NONE."""
        self._frozen_c = self.reading(now)
        here = self.at(now)
        self._from_c, self._since, self._hold_at = here, now, inf
        self.fault = fault
        self._curve(now)

    def restart_sensor(self, now: float) -> None:
        """The board was reset at `now`: no reading until the first conversion."""
        self._adc_from = now

    def reading(self, now: float) -> float:
        """What the sensor says, with a little noise (the same for the same instant)."""
        if self._adc_from <= now < self._adc_from + ADC_SETTLE_S:
            return 0.0
        if self.fault is ThermalFault.STUCK:
            return self._frozen_c
        if self.fault is ThermalFault.DISCONNECTED:
            return OPEN_SENSOR_C
        jitter = (hash((round(now, 3), self.spec.name == "bed")) % 2001) / 1000.0 - 1.0
        return self.at(now) + jitter * NOISE_C

    def power(self, now: float) -> int:
        """Duty 0-127 as reported after `@:`."""
        if not self.target:
            return 0
        if now < self._hold_at and self._toward > AMBIENT_C:
            return 127
        if now < self._hold_at and self.fault in (ThermalFault.NONE, ThermalFault.MOSFET):
            return 0
        share = (self.target - AMBIENT_C) / (self.spec.ceiling_c - AMBIENT_C)
        return 127 if self.fault is not ThermalFault.NONE else max(0, min(127, round(127 * share)))

    def holding(self, now: float) -> bool:
        """Whether the target is reached and held."""
        return now >= self._hold_at

    def reached_at(self) -> float:
        """Instant at which the target is reached; infinity when it will not be."""
        return self._hold_at

    # --- the protection ------------------------------------------------------------------------------------

    def trip(self) -> tuple[float, str]:
        """When the firmware's protection will strike, and with which words; infinity when it will not."""
        spec, fault = self.spec, self.fault
        if fault is ThermalFault.DISCONNECTED and self.target:
            return self._since, "MINTEMP triggered"
        if fault is ThermalFault.MOSFET:
            return self._time_until(spec.max_temp_c), "MAXTEMP triggered"
        if fault is ThermalFault.NONE or not self.target:
            return inf, ""
        shown = self._frozen_c if fault is ThermalFault.STUCK else self.at(self._since)
        if shown < self.target - spec.protect_c and self._watch_since < inf:
            return max(self._since, self._watch_since) + spec.watch_s / self._scale, "Heating failed"
        if fault is ThermalFault.STUCK:
            return inf, ""
        return self._time_until(
            self.target - spec.protect_c
        ) + spec.protect_s / self._scale, "Thermal Runaway"
