"""One heater under watch: its readings, and the rules they must keep."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from agent.domain.printer import Temperature
from agent.domain.profile import HeaterLimits
from agent.printer.safety.alarms import Action, Alarm, Fault

CONFIRMATIONS = 2
"""Replies carry no checksum: one reading may be a damaged digit, two in a row are true."""
BAND_C = 5.0
"""Nearer to the target than this a heater has arrived; controllers creep over the last degrees."""
OVER_LIMIT_MARGIN_C = 10.0
"""Overshoot of a controller whose target is the limit itself."""
RUNAWAY_C = 20.0
"""Above the target and no longer on the way down. A badly tuned nozzle overshoots by 10 to 15 °C."""
RUNAWAY_S = {"T": 20.0, "B": 120.0, "C": 300.0}
"""How long it must last: long enough to tell that a heavy bed (time constant 30 min) is cooling down."""
OFF_RISE_C = 40.0
OFF_WINDOW_S = 120.0
"""A heater that is off: residual heat adds 10 °C, a neighbouring bed some 20 °C over many minutes."""
MIN_BELIEVABLE_C = -14.0
MAX_BELIEVABLE_C = 600.0
"""Marlin reads -15 °C from an open thermistor, RepRapFirmware 2000 °C from a missing one."""
JUMP_C = 30.0
JUMP_RATE_C_S = 15.0
"""The strongest hotends gain 10 °C/s; more is a damaged digit or a loose wire."""
JUMP_CONFIRMATIONS = 3
"""So many readings that cannot follow the last believed one are the truth: the sensor jumped."""
FALL_S = 60.0
"""Below the tolerance without recovering. A part fan or an open door costs 10 °C for half a minute."""
HEAT_UP_LIMIT_S = {"T": 900.0, "B": 3600.0}
"""In all, from a new target to the arrival; a 300 °C nozzle needs 3 minutes, a big slow bed 40."""
RISE_WINDOWS = {"T": 1.5, "B": 7.5}
"""Of `rise_window_s` (40 s): a nozzle must rise 2 °C in 60 s, a bed in 300 s. Firmware (20 s and 60 s) acts
first. Chambers are heated by their bed and need not reach their target at all: only the upper rules hold."""
ESCALATE_S = 20.0
"""From COOL_DOWN to HALT for what is too hot or unseen: the command and the next reports take five."""
ESCALATE_COLD_S = 60.0
"""The same for what is too cold: a print that is being cancelled may first finish its queued moves."""
MIN_SAMPLES = 6
MEAN_SAMPLES = 10
"""A rise is told from means of the first and last quarter (up to so many readings): noise is no rise."""
NAMES = {"T": "the nozzle", "B": "the bed", "C": "the chamber"}


@dataclass(slots=True)
class _Raised:
    """An alarm that is not over yet."""

    fault: Fault
    at_s: float
    actual: float
    halted: bool = False


class WatchedHeater:
    """The rules for one heater. `speed` shortens every duration (simulated printers run faster than life)."""

    def __init__(self, key: str, limits: HeaterLimits, speed: float) -> None:
        self.key = key
        self.limits = limits
        self.target = 0.0
        self.actual = math.nan
        self.seen_s = 0.0
        self._speed = speed
        self._kind = key[0]
        self._rise_s = limits.rise_window_s * RISE_WINDOWS.get(self._kind, 1.0) / speed
        self._hot_for_s = RUNAWAY_S.get(self._kind, OFF_WINDOW_S) / speed
        self._keep_s = max(self._rise_s, FALL_S / speed, OFF_WINDOW_S / speed, self._hot_for_s)
        self._history: deque[tuple[float, float]] = deque()
        self._target_s = 0.0  # when the target was set
        self._target_known = False  # false after connecting in the middle of a heat-up of Marlin 1.x
        self._low_s: float | None = None  # since when it is on its way up
        self._arrived = False
        self._hot_s: float | None = None
        self._over = self._insane = self._jumps = 0
        self._raised: _Raised | None = None

    @property
    def on(self) -> bool:
        """Whether a target is set."""
        return self.target > 0

    def observe(self, reading: Temperature, now: float, *, has_target: bool) -> Alarm | None:
        """Take one reading and return the alarm it raises, if any."""
        self.seen_s = now
        if has_target:
            self._target_known = True
            if reading.target != self.target:
                self._new_target(reading.target, now)
        alarm = self._believe(reading.actual, now)
        if alarm is None and self._raised is None and self._history and self._history[-1][0] == now:
            alarm = self._judge(now)
        return alarm or self.escalate(now)

    def escalate(self, now: float) -> Alarm | None:
        """Return a HALT when an alarm of before has not been answered by cooling down."""
        raised = self._raised
        if raised is None or raised.halted:
            return None
        cold = raised.fault in (Fault.STUCK, Fault.FALLING)
        if now - raised.at_s < (ESCALATE_COLD_S if cold else ESCALATE_S) / self._speed:
            return None
        hotter = self.actual > raised.actual + self.limits.min_rise_c
        hot = raised.fault in (Fault.RUNAWAY, Fault.OVER_LIMIT)
        if not self.on and not (hot and hotter) and self.seen_s > raised.at_s:
            self._settle(raised, now)
            return None
        raised.halted = True
        why = "it is still on" if self.on else "it is still getting hotter"
        return self._alarm(raised.fault, f"{self._name()} was to cool down, but {why}", Action.HALT)

    def _settle(self, raised: _Raised, now: float) -> None:
        """It is off and cooling: the alarm is over, unless it is still too hot, which stays under watch."""
        if raised.fault is Fault.OVER_LIMIT and self.actual > self.limits.max_c:
            raised.at_s, raised.actual = now, self.actual
            return
        self._raised = None
        self._low_s = self._hot_s = None
        self._over = self._insane = 0

    def alarm(self, fault: Fault, sentence: str, now: float) -> Alarm | None:
        """Raise an alarm unless one is standing already."""
        if self._raised is not None:
            return None
        self._raised = _Raised(fault, now, self.actual)
        return self._alarm(fault, sentence, Action.COOL_DOWN)

    # -- is the reading true? --

    def _believe(self, actual: float, now: float) -> Alarm | None:
        if not MIN_BELIEVABLE_C <= actual <= MAX_BELIEVABLE_C:  # NaN is not either
            self._insane += 1
            # Tools that are not there read like this for ever: it matters only where heat is asked for.
            if self.on and self._insane >= CONFIRMATIONS:
                return self.alarm(Fault.SENSOR, f"the sensor of {self._name()} reads {actual:g} °C", now)
            return None
        self._insane = 0
        if self._history:
            then, last = self._history[-1]
            reach = JUMP_C + JUMP_RATE_C_S * self._speed * (now - then)
            if abs(actual - last) > reach:
                return self._jumped(last, actual, now)
        self._jumps = 0
        self._accept(actual, now)
        return None

    def _jumped(self, last: float, actual: float, now: float) -> Alarm | None:
        self._jumps += 1
        if self._jumps < JUMP_CONFIRMATIONS:
            return None
        self._history.clear()
        self._jumps = 0
        self._accept(actual, now)
        if not self.on:
            return None
        sentence = f"the sensor of {self._name()} jumped from {last:.0f} to {actual:.0f} °C"
        return self.alarm(Fault.SENSOR, sentence, now)

    def _accept(self, actual: float, now: float) -> None:
        self.actual = actual
        self._history.append((now, actual))
        # One reading from before the window stays, so that the window is always spanned.
        while len(self._history) > MIN_SAMPLES and self._history[1][0] <= now - self._keep_s:
            self._history.popleft()

    # -- the rules --

    def _new_target(self, target: float, now: float) -> None:
        self.target = target
        self._target_s = now
        self._arrived = False
        self._low_s = self._hot_s = None

    def _judge(self, now: float) -> Alarm | None:
        if not self._target_known:
            return self._limit(now)
        return self._limit(now) or (self._on(now) if self.on else self._off(now))

    def _limit(self, now: float) -> Alarm | None:
        over = self.target > self.limits.max_c or self.actual > self.limits.max_c + OVER_LIMIT_MARGIN_C
        self._over = self._over + 1 if over else 0
        if self._over < CONFIRMATIONS:
            return None
        sentence = (
            f"{self._name()} is at {self.actual:.0f} °C with {self.target:.0f} °C set; "
            f"its limit here is {self.limits.max_c:.0f} °C"
        )
        return self.alarm(Fault.OVER_LIMIT, sentence, now)

    def _off(self, now: float) -> Alarm | None:
        window_s = OFF_WINDOW_S / self._speed
        recent = [actual for then, actual in self._history if then >= max(now - window_s, self._target_s)]
        # Residual heat right after switching off is a rise from the first reading on, not from an earlier dip.
        if len(recent) < CONFIRMATIONS + 1 or min(recent[-CONFIRMATIONS:]) - min(recent) < OFF_RISE_C:
            return None
        sentence = f"{self._name()} is off, yet it rose to {self.actual:.0f} °C"
        return self.alarm(Fault.RUNAWAY, sentence, now)

    def _on(self, now: float) -> Alarm | None:
        if self.actual > self.target + RUNAWAY_C:
            self._low_s = None
            self._arrived = True
            return self._too_hot(now)
        self._hot_s = None
        if self.actual >= self.target - BAND_C:
            self._low_s = None
            self._arrived = True
            return None
        if self._arrived and self.actual >= self.target - self.limits.fall_tolerance_c:
            return None
        return self._too_cold(now)

    def _too_hot(self, now: float) -> Alarm | None:
        """After a lowered target everything is too hot for a while: what counts is that it does not fall."""
        if self._hot_s is None:
            self._hot_s = now
        if now - self._hot_s < self._hot_for_s or not self._spanned(self._hot_s):
            return None
        if self._rise(now, self._hot_for_s) < -self.limits.min_rise_c / 4:
            return None
        sentence = (
            f"{self._name()} is at {self.actual:.0f} °C, far above the {self.target:.0f} °C that are set"
        )
        return self.alarm(Fault.RUNAWAY, sentence, now)

    def _too_cold(self, now: float) -> Alarm | None:
        if self._kind not in RISE_WINDOWS:
            return None
        if self._low_s is None:
            self._low_s = now
        window_s = max(self._rise_s, FALL_S / self._speed) if self._arrived else self._rise_s
        since_s = now - self._low_s
        if since_s < window_s or not self._spanned(self._low_s):
            return None
        rise = self._rise(now, window_s)
        too_long = since_s > HEAT_UP_LIMIT_S[self._kind] / self._speed
        if rise >= self.limits.min_rise_c and not too_long:
            return None
        fault = Fault.FALLING if self._arrived else Fault.STUCK
        detail = (
            f"it has not arrived after {since_s:.0f} s" if too_long else f"{rise:+.1f} °C in {window_s:.0f} s"
        )
        sentence = f"{self._name()} is at {self.actual:.0f} °C with {self.target:.0f} °C set: {detail}"
        return self.alarm(fault, sentence, now)

    def _spanned(self, since_s: float) -> bool:
        """Whether enough readings came since `since_s` to judge: gaps in telemetry prove nothing."""
        return sum(1 for then, _ in self._history if then >= since_s) >= MIN_SAMPLES

    def _rise(self, now: float, window_s: float) -> float:
        """Return the rise over the last `window_s`, from means at both ends."""
        values = [actual for then, actual in self._history if then >= now - window_s]
        if len(values) < MIN_SAMPLES:
            values = [actual for _, actual in self._history][-MIN_SAMPLES:]
        count = max(1, min(MEAN_SAMPLES, len(values) // 4))
        return (sum(values[-count:]) - sum(values[:count])) / count

    def _name(self) -> str:
        return f"{NAMES.get(self._kind, 'heater')} ({self.key})"

    def _alarm(self, fault: Fault, sentence: str, action: Action) -> Alarm:
        return Alarm(fault, self.key, self.actual, self.target, sentence, action)
