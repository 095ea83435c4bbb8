"""What a safety rule says when it is broken."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.domain.job import Reason


class Action(StrEnum):
    """What has to be done. HALT follows when COOL_DOWN has not helped: emergency stop, then the last resorts."""

    COOL_DOWN = "cool_down"
    HALT = "halt"


class Fault(StrEnum):
    """Which rule was broken."""

    STUCK = "stuck"
    FALLING = "falling"
    RUNAWAY = "runaway"
    OVER_LIMIT = "over_limit"
    SENSOR = "sensor"
    SILENT = "silent"


REASONS = {
    Fault.STUCK: Reason.HEATER_STUCK,
    Fault.FALLING: Reason.HEATER_FALLING,
    Fault.RUNAWAY: Reason.HEATER_RUNAWAY,
    Fault.OVER_LIMIT: Reason.HEATER_RUNAWAY,
    Fault.SENSOR: Reason.HEATER_SILENT,
    Fault.SILENT: Reason.HEATER_SILENT,
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """A broken rule. Temperatures in degrees Celsius; `heater` is empty when all of them are meant."""

    fault: Fault
    heater: str
    actual: float
    target: float
    detail: str
    action: Action = Action.COOL_DOWN

    @property
    def kind(self) -> Reason:
        """The reason to record for the job and the event."""
        return REASONS[self.fault]
