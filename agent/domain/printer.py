"""The printer as everybody outside the printer thread sees it: immutable snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class PrinterState(StrEnum):
    """Printer states (DESIGN 3)."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    IDLE = "idle"
    PRINTING = "printing"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    CANCELLING = "cancelling"
    ATTENTION = "attention"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Temperature:
    """One heater: actual and target in degrees Celsius, power 0..1 where the firmware reports it."""

    actual: float
    target: float = 0.0
    power: float | None = None


@dataclass(frozen=True, slots=True)
class FirmwareInfo:
    """What M115 told: the name line split into fields, and capabilities by name."""

    name: str = ""
    machine: str = ""
    uuid: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    capabilities: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question of the firmware to the person at the printer (host prompts, M0/M600)."""

    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortHealth:
    """How good the line to the printer is since the port was opened. Latencies in milliseconds."""

    lines_sent: int = 0
    lines_acked: int = 0
    resends: int = 0
    timeouts: int = 0
    garbled: int = 0
    ok_p50_ms: float = 0.0
    ok_p99_ms: float = 0.0
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class PrintProgress:
    """The running print. `line` counts acknowledged job lines; times in seconds.

    `plus_minus_s`: how far `remaining_s` may be off (two standard deviations), None where it is a mere guess.
    """

    print_id: str
    line: int
    lines: int
    byte: int
    bytes: int
    layer: int | None
    layers: int | None
    z_mm: float | None
    elapsed_s: float
    remaining_s: float | None
    fraction: float
    plus_minus_s: float | None = None


@dataclass(frozen=True, slots=True)
class PrinterSnapshot:
    """One consistent view of the printer. Heaters are keyed `T0`, `T1`, `B` (bed), `C` (chamber)."""

    state: PrinterState = PrinterState.OFFLINE
    detail: str = ""
    port: str = ""
    port_id: str = ""
    baud: int = 0
    dialect: str = ""
    firmware: FirmwareInfo | None = None
    temperatures: dict[str, Temperature] = field(default_factory=dict)
    position: dict[str, float] = field(default_factory=dict)
    fan: float | None = None
    prompt: Prompt | None = None
    message: str = ""
    health: PortHealth = PortHealth()
    progress: PrintProgress | None = None


class Direction(StrEnum):
    """Who said a transcript line."""

    SENT = "sent"
    RECEIVED = "received"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """One line of the conversation with the printer as the console shows it; `t_ms` is Unix milliseconds."""

    t_ms: int
    direction: Direction
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One telemetry point; `t_s` is the monotonic clock."""

    t_s: float
    temperatures: dict[str, Temperature] = field(default_factory=dict)
