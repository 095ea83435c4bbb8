"""The heat rules at work: fed with every temperature report and once a second. Event loop only."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.profile import PrinterProfile
from agent.printer.replies import TemperatureReport
from agent.printer.safety import Alarm, HeaterWatch, IdleHeat, limits_of
from agent.printer.tracker import Tracked


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules need to know besides temperatures: is heat in use, and can the firmware report at all."""

    in_use: bool
    blocked: bool


class HeatGuard:
    """All heat rules of one printer; rebuilt for every connection."""

    def __init__(self, profile: PrinterProfile, now: float, speed: float = 1.0) -> None:
        """`speed`: how many times faster than life a virtual printer runs; its idleness is short in proportion."""
        self._watch = HeaterWatch(limits_of(profile), speed)
        self._watch.restart(now)
        self._idle = IdleHeat(profile.idle_timeout_s / speed)

    def report(self, reply: TemperatureReport, now: float) -> list[Alarm]:
        """Take one report; returns new alarms."""
        return self._watch.observe(reply.heaters, now, has_targets=reply.has_targets)

    def second(
        self, tracked: Tracked, now: float, around: Surroundings
    ) -> tuple[list[Alarm], tuple[str, ...]]:
        """What a second without a report brings: new alarms, and the heaters that somebody forgot."""
        forgotten = self._idle.observe(tracked.temperatures, now, in_use=around.in_use)
        return self._watch.tick(now, blocked=around.blocked), forgotten
