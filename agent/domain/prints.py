"""Prints: one attempt at one copy of a job.

The record written before line 1 is what makes a print survive the daemon (P2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.domain.artefact import Prepared
from agent.domain.job import Reason


class PrintState(StrEnum):
    """How far one attempt has come."""

    PRINTING = "printing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """The attempt has ended, whatever the outcome."""
        return self in (PrintState.COMPLETED, PrintState.FAILED, PrintState.CANCELLED)


@dataclass(frozen=True, slots=True)
class PrintRecord:
    """The durable record of one attempt.

    Job line i (1-based) is sent as firmware line number `base + i`; `base` is never 0, so that a reset board
    (counter 0) is recognisable. `port_id` is the stable identity of the port the print runs on.
    Times are Unix milliseconds. `file_stamp` identifies the prepared file whose hash was proven before line 1.
    `cancel_reason` is set once somebody asked for the end of a print that is not over yet. `receipt_seal`: the
    signature over `receipt` as JSON, None where the unit has no key.
    """

    print_id: str
    job_id: str
    copy: int
    state: PrintState
    prepared_sha256: str
    lines: int
    base: int
    port_id: str
    reason: Reason | None
    detail: str
    started_ms: int
    ended_ms: int | None
    pause_snapshot: str | None = None
    receipt: str | None = None
    file_stamp: str = ""
    cancel_reason: Reason | None = None
    receipt_seal: str | None = None


class Bed(StrEnum):
    """The latch of P8: what a person last said, or a print last left, about the bed."""

    CLEAR = "clear"
    OCCUPIED = "occupied"


class OutcomeState(StrEnum):
    """How `print_file` returned; `suspended` means the daemon stops and the print is to be resumed."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUSPENDED = "suspended"


PauseListener = Callable[[bool, Reason | None, str], Awaitable[None]]
CheckpointListener = Callable[[str | None], Awaitable[None]]
TakeoverListener = Callable[[int, float | None, bool], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LastContact:
    """What is known of a print that was left alone: line `line` was acknowledged `age_s` seconds before `since_s`.

    `since_s` is monotonic. `age_s` None: nobody knows how long ago that was.
    """

    line: int
    age_s: float | None
    since_s: float


@dataclass(frozen=True, slots=True)
class SalvagePlan:
    """How a person wants a print to go on after a reset: behind line `line`, the nozzle now `height_mm` above the bed.

    `of_print` is the attempt that failed.
    """

    of_print: str
    line: int
    height_mm: float


@dataclass(frozen=True, slots=True)
class PrintOrder:
    """Everything the printer side needs for one attempt.

    `path` is the prepared file. `resume` asks to take over a print that an earlier daemon left running.
    `on_pause(paused, reason, detail)` is awaited on every pause and resume: on disk before it is reported.
    `checkpoint(text)` stores `text` as the record's `pause_snapshot` (None clears it): where the print stands
    whenever the firmware's line counter is about to leave the job's lines.
    `contact` goes with `resume`: None when nothing was noted. `on_takeover(line, gap_s, same_daemon)` is awaited when
    the printer has said that it stands behind `line`; `gap_s` None: unknown. `salvage`: do not start at line 1.
    """

    record: PrintRecord
    path: Path
    prepared: Prepared
    resume: bool
    on_pause: PauseListener
    checkpoint: CheckpointListener
    contact: LastContact | None = None
    on_takeover: TakeoverListener | None = None
    salvage: SalvagePlan | None = None


@dataclass(frozen=True, slots=True)
class PrintOutcome:
    """How an attempt ended; `stats` goes into the receipt, and so does `salvage`: how the print could go on."""

    state: OutcomeState
    reason: Reason | None
    detail: str
    lines_acked: int
    stats: dict[str, Any] = field(default_factory=dict)
    salvage: dict[str, Any] | None = None
