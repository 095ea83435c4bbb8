"""What a printer can say: one frozen value per kind of reply line."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agent.domain.printer import Temperature


class LineFault(StrEnum):
    """Why the firmware refused a numbered line."""

    CHECKSUM = "checksum"
    LINE_NUMBER = "line_number"
    NO_CHECKSUM = "no_checksum"
    NO_LINE_NUMBER = "no_line_number"
    OTHER = "other"


class BusyKind(StrEnum):
    """What keeps the firmware from answering. PAUSED means that it waits for a person."""

    PROCESSING = "processing"
    PAUSED = "paused"
    HEATING = "heating"
    OTHER = "other"


class ErrorSeverity(StrEnum):
    """HARMLESS: nothing follows from it. JOB_WRONG: the machine goes on, the part is ruined.

    STOPPED: the firmware takes no moves until M999 (or a restart) but still talks.
    """

    HARMLESS = "harmless"
    JOB_WRONG = "job_wrong"
    STOPPED = "stopped"


class HaltReason(StrEnum):
    """Why the firmware is dead until a reset (or M999 where it says so)."""

    KILL = "kill"
    EMERGENCY_STOP = "emergency_stop"
    INACTIVE = "inactive"
    RUNAWAY = "runaway"
    HEATING_FAILED = "heating_failed"
    MAXTEMP = "maxtemp"
    MINTEMP = "mintemp"
    LOCKED = "locked"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Ok:
    """An acknowledgement.

    `number` where the firmware numbers its oks (ADVANCED_OK, Repetier); `planner_free` and `queue_free`
    from ADVANCED_OK's P and B.
    """

    number: int | None = None
    planner_free: int | None = None
    queue_free: int | None = None


@dataclass(frozen=True, slots=True)
class Resend:
    """The firmware wants line `number` next. May be negative or far away (Prusa MK3): check it."""

    number: int


@dataclass(frozen=True, slots=True)
class LastLine:
    """A refused line: `number` is the last line the firmware accepted."""

    number: int
    fault: LineFault


@dataclass(frozen=True, slots=True)
class CurrentLine:
    """Answer to a bare `M110` (Marlin after 2024-05): the last accepted line number."""

    number: int


@dataclass(frozen=True, slots=True)
class Skip:
    """Repetier: line `number` was accepted before and is not executed again; an `ok` follows."""

    number: int


@dataclass(frozen=True, slots=True)
class Busy:
    """A sign of life during a long command."""

    kind: BusyKind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """`wait`: the queue is empty (on CBD/ZWLF clones: the printer is busy)."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first line after a boot: the board was reset."""

    text: str


@dataclass(frozen=True, slots=True)
class ResetCause:
    """Why the board booted (`PowerUp`, `External Reset`, `Watchdog Reset` ...): follows a greeting."""

    text: str


@dataclass(frozen=True, slots=True)
class TemperatureReport:
    """Temperatures by heater: `T0`, `T1`, `B` bed, `C` chamber, `P` probe, `A` ambient, `X` heatbreak.

    `waiting` is true for the lines a blocking heat-up prints; `wait_s` its countdown, None before it runs.
    `has_targets` is false for lines that name no target at all (heat-up lines of Marlin 1.x): the 0 in their
    heaters then means "not said".
    """

    heaters: dict[str, Temperature]
    waiting: bool = False
    wait_s: int | None = None
    has_targets: bool = True


@dataclass(frozen=True, slots=True)
class PositionReport:
    """M114 or its automatic report: `axes` in millimetres, `counts` in motor steps."""

    axes: dict[str, float]
    counts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FirmwareName:
    """The name line of M115, split by its upper-case keys. `FIRMWARE_NAME` is always there."""

    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Capability:
    """A `Cap:NAME:0|1` line of M115: compiled in, which is not yet proof that it works."""

    name: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the settings dump (boot, M503) as G-code, or its comment."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A request of the firmware to its host: `//action:name argument`."""

    name: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A JSON answer (RepRapFirmware M408/M409), not decoded."""

    text: str


@dataclass(frozen=True, slots=True)
class PrinterError:
    """Something went wrong, the firmware lives. See `ErrorSeverity` for what follows."""

    text: str
    severity: ErrorSeverity


@dataclass(frozen=True, slots=True)
class Halted:
    """The firmware has switched heaters and motors off and obeys nothing until it is reset."""

    text: str
    reason: HaltReason


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """The firmware does not know this command; it is acknowledged all the same."""

    text: str


@dataclass(frozen=True, slots=True)
class Info:
    """Free text that asks for nothing."""

    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A line of no known form. `garbled` when it holds bytes no firmware prints: noise or a wrong baud."""

    text: str
    garbled: bool = False


Reply = (
    Ok
    | Resend
    | LastLine
    | CurrentLine
    | Skip
    | Busy
    | Wait
    | Greeting
    | ResetCause
    | TemperatureReport
    | PositionReport
    | FirmwareName
    | Capability
    | Setting
    | Action
    | Model
    | PrinterError
    | Halted
    | UnknownCommand
    | Info
    | Unknown
)
