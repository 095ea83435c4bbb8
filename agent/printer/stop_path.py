"""Whether a stop gets past a printer that is busy: what is known of it. Pure; `stop_trial` finds it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.printer.handshake import Answered

CAPABILITY = "EMERGENCY_PARSER"


class EmergencyParser(StrEnum):
    """Whether words like M112 act ahead of the firmware's queue."""

    PROVEN = "proven"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StopPath:
    """What is known about the way of a stop into a busy printer.

    `latency_ms`: from the word to its effect, where that was seen. `tested`: the question is settled for this firmware.
    """

    parser: EmergencyParser = EmergencyParser.UNKNOWN
    latency_ms: float | None = None
    tested: bool = False

    def to_json(self) -> dict[str, object]:
        """Write as JSON values."""
        return {"parser": self.parser.value, "latency_ms": self.latency_ms, "tested": self.tested}

    @staticmethod
    def from_json(document: object) -> StopPath:
        """Read what `to_json` wrote; anything else is an unknown stop path."""
        if not isinstance(document, Mapping) or document.get("parser") not in list(EmergencyParser):
            return UNTESTED
        latency = document.get("latency_ms")
        return StopPath(
            EmergencyParser(document["parser"]),
            float(latency) if isinstance(latency, int | float) else None,
            document.get("tested") is True,
        )


UNTESTED = StopPath()


def announced(answer: Answered) -> bool | None:
    """What the firmware says of its emergency parser; None when it says nothing about capabilities at all."""
    if answer.firmware is None or not answer.firmware.capabilities:
        return None
    return answer.firmware.capabilities.get(CAPABILITY, False)


def is_testable(answer: Answered) -> bool:
    """Whether the test says anything about this printer, and does no harm: it is idle, cold, and claims a parser.

    Builds without a parser obey `M108` too, but only when they read the line, for which their queue must have room
    (Marlin, queue.cpp, get_serial_commands): on an idle printer the test could not tell the two apart.
    """
    if answer.busy or answer.dialect.break_wait is None or announced(answer) is not True:
        return False
    return all(heater.target <= 0 for heater in answer.temperatures.values())


def untested(answer: Answered) -> StopPath:
    """What can be said without a test."""
    if announced(answer) is False:
        return StopPath(EmergencyParser.ABSENT, tested=True)
    return UNTESTED
