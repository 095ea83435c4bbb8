"""Jobs: an order for one artefact, `copies` times. `agent.jobs.machine` is the only way to a new state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands (DESIGN 3)."""

    RECEIVED = "received"
    FETCHING = "fetching"
    CHECKING = "checking"
    SLICING = "slicing"
    VERIFYING = "verifying"
    READY = "ready"
    PRINTING = "printing"
    PAUSED = "paused"
    HELD = "held"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """No event but a retry leads out of this state."""
        return self in _TERMINAL

    @property
    def is_active(self) -> bool:
        """A print of this job is on the bed."""
        return self in (JobState.PRINTING, JobState.PAUSED)

    @property
    def is_waiting(self) -> bool:
        """On the way to the printer, not yet on it and not held."""
        return self in _WAITING


_TERMINAL = frozenset({
    JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.REJECTED, JobState.EXPIRED,
})  # fmt: skip
_WAITING = frozenset({
    JobState.RECEIVED, JobState.FETCHING, JobState.CHECKING, JobState.SLICING, JobState.VERIFYING,
    JobState.READY,
})  # fmt: skip


class Reason(StrEnum):
    """Why a job or print changed state; machine-readable, part of events, API and documents."""

    USER = "user"
    COORDINATOR = "coordinator"
    HOLD_REQUESTED = "hold_requested"
    GATE_REFUSED = "gate_refused"
    GATE_CRASHED = "gate_crashed"
    NOT_PRINTABLE = "not_printable"
    CHECK_WARNINGS = "check_warnings"
    CHECK_UNDETERMINED = "check_undetermined"
    CHECK_FAILED = "check_failed"
    SLICE_REFUSED = "slice_refused"
    SLICE_FAILED = "slice_failed"
    SLICER_MISSING = "slicer_missing"
    PROFILE_UNSUITABLE = "profile_unsuitable"
    NOT_GCODE = "not_gcode"
    UNSUPPORTED_FORMAT = "unsupported_format"
    ARTEFACT_LOST = "artefact_lost"
    HASH_MISMATCH = "hash_mismatch"
    FETCH_FAILED = "fetch_failed"
    DISK_FULL = "disk_full"
    PORT_LOST = "port_lost"
    PRINTER_RESET = "printer_reset"
    PRINTER_HALTED = "printer_halted"
    PRINTER_SILENT = "printer_silent"
    PRINTER_ERROR = "printer_error"
    LINE_COUNT_MISMATCH = "line_count_mismatch"
    EMERGENCY_STOP = "emergency_stop"
    HEATER_STUCK = "heater_stuck"
    HEATER_FALLING = "heater_falling"
    HEATER_RUNAWAY = "heater_runaway"
    HEATER_SILENT = "heater_silent"
    RESEND_LIMIT = "resend_limit"
    LINE_UNCERTAIN = "line_uncertain"
    DAEMON_RESTARTED = "daemon_restarted"
    EXPIRED = "expired"
    NOT_BEFORE = "not_before"
    APPROVAL = "approval"
    NOT_ACCEPTED = "not_accepted"
    REQUIREMENT = "requirement"
    FILAMENT = "filament"
    PROMPT = "prompt"
    LONG_GAP = "long_gap"
    NOT_SALVAGED = "not_salvaged"


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the queue. Times are Unix milliseconds; `position` orders the queue (smaller is sooner)."""

    job_id: str
    rev: int
    state: JobState
    name: str
    artefact_sha256: str
    artefact_format: str
    artefact_size: int
    copies: int
    copies_done: int
    position: float
    priority: int
    source: str
    material: str | None
    quality: str | None
    reason: Reason | None
    detail: str
    held_from: JobState | None
    attempt: int
    created_ms: int
    updated_ms: int
    prepared_sha256: str | None = None
    profile_digest: str | None = None
    estimate_s: float | None = None
    filament_mm: float | None = None
    layers: int | None = None
