"""All heaters of one printer under watch."""

from __future__ import annotations

from collections.abc import Mapping

from agent.domain.printer import Temperature
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.printer.safety.alarms import Action, Alarm, Fault
from agent.printer.safety.heater import ESCALATE_S, WatchedHeater

FIRST_READINGS_S = 5.0
"""After a boot the firmware reports 0.00 until its first conversion."""
SILENT_S = 60.0
"""No report at all while heat is on. Reports come every 1 to 5 s; Marlin's own period is 40 s."""
SILENT_BLOCKED_S = 900.0
"""The same while a long command runs on a firmware that cannot report by itself: a bed levelling."""
MISSING_S = 900.0
"""One heater is left out of the reports: Marlin 1.x does so with the bed while a nozzle heats up."""


def limits_of(profile: PrinterProfile) -> dict[str, HeaterLimits]:
    """Return the limits by the first letter of the heater's key."""
    limits = {"T": profile.hotend, "B": profile.bed, "C": profile.chamber}
    return {key: limit for key, limit in limits.items() if limit is not None}


class HeaterWatch:
    """The rules over all heaters; feed it every temperature report, and the time in between.

    `limits` by key (`T0`, `B`) or by its first letter; heaters without limits are not watched.
    `speed` shortens what heaters do, for simulated printers that run faster than life; reports come in real time.
    """

    def __init__(self, limits: Mapping[str, HeaterLimits], speed: float = 1.0) -> None:
        self._limits = dict(limits)
        self._speed = speed
        self._heaters: dict[str, WatchedHeater] = {}
        self._began_s: float | None = None
        self._report_s = 0.0
        self._excused_s = 0.0
        self._silent_s: float | None = None
        self._halted = False

    def restart(self, now: float) -> None:
        """Begin anew: after connecting, and after the board was reset."""
        self._heaters.clear()
        self._began_s = self._report_s = self._excused_s = now
        self._silent_s = None
        self._halted = False

    def observe(
        self, temperatures: Mapping[str, Temperature], now: float, *, has_targets: bool = True
    ) -> list[Alarm]:
        """Take one report as the firmware sent it (unreadable values included) and return new alarms.

        Every alarm comes once as COOL_DOWN, and once more as HALT when cooling down has not helped.
        `has_targets` False: the line names no targets (heat-up lines of Marlin 1.x), so the known ones stay.
        """
        if self._began_s is None:
            self.restart(now)
        self._report_s = self._excused_s = now
        self._silent_s, self._halted = None, False
        fresh = self._began_s is not None and now - self._began_s < FIRST_READINGS_S
        alarms = []
        for key, reading in temperatures.items():
            if fresh and reading.actual == 0.0:
                continue
            heater = self._heater(key)
            if heater is not None:
                alarms.append(heater.observe(reading, now, has_target=has_targets))
        return [alarm for alarm in (*alarms, *self._missing(now)) if alarm is not None]

    def tick(self, now: float, *, blocked: bool = False) -> list[Alarm]:
        """Notice what does not come. Call every second or so.

        `blocked`: a long command is running and this firmware cannot report meanwhile.
        """
        if self._began_s is None:
            return []
        if blocked:
            self._excused_s = now
        alarms = [heater.escalate(now) for heater in self._heaters.values()]
        alarms.append(self._silent(now))
        return [alarm for alarm in alarms if alarm is not None]

    def _heater(self, key: str) -> WatchedHeater | None:
        heater = self._heaters.get(key)
        if heater is None:
            limits = self._limits.get(key) or self._limits.get(key[:1])
            if limits is not None:
                heater = self._heaters[key] = WatchedHeater(key, limits, self._speed)
        return heater

    def _missing(self, now: float) -> list[Alarm | None]:
        patience_s = MISSING_S
        return [
            heater.alarm(Fault.SILENT, f"{heater.key} is on but has not been reported for a long time", now)
            for heater in self._heaters.values()
            if heater.on and now - heater.seen_s > patience_s
        ]

    def _silent(self, now: float) -> Alarm | None:
        heated = [heater for heater in self._heaters.values() if heater.on]
        since_s = now - self._report_s
        excused = now - self._excused_s <= SILENT_S
        if not heated or (excused and since_s <= SILENT_BLOCKED_S):
            return None
        if self._silent_s is None:
            self._silent_s = now
            return self._silence(heated[0], since_s, Action.COOL_DOWN)
        if self._halted or now - self._silent_s < ESCALATE_S:
            return None
        self._halted = True
        return self._silence(heated[0], since_s, Action.HALT)

    def _silence(self, heater: WatchedHeater, since_s: float, action: Action) -> Alarm:
        sentence = f"the printer has not reported a temperature for {since_s:.0f} s although heat is on"
        return Alarm(Fault.SILENT, "", heater.actual, heater.target, sentence, action)
