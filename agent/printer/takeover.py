"""Where a print stands that an earlier connection or daemon has left: a table over counter, record and checkpoint.

Pure. The rule behind it: whenever the firmware's counter is about to leave the job's numbers, a checkpoint is on disk
first, so the counter and the checkpoint together always tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.domain.prints import LastContact, PrintRecord
from agent.printer.dialects import Counter
from agent.printer.handshake import Answered
from agent.printer.procedures import PauseSnapshot

HOST_BASES = range(1_000_000, 9_000_000)
"""Line numbers of the host's own commands; job bases lie far below, so the counter tells whose lines ran last."""
SLACK_LINES = 64
"""How far the last line known here may be from the firmware's: more than any window, counted oks included."""


class Where(StrEnum):
    """What ran last on the printer."""

    JOB = "job"
    CHECKPOINT = "checkpoint"
    BEGINNING = "beginning"
    RESET = "reset"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Stand:
    """JOB: the print's line `line` was accepted last; `snapshot` belongs to this very line.

    CHECKPOINT: host commands ran last, `snapshot` says at which line and what for. BEGINNING: no line of the print was
    sent yet. RESET: the board does not remember the print. UNKNOWN: this firmware cannot be asked.
    """

    where: Where
    line: int = 0
    snapshot: PauseSnapshot | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """For how long nobody was at the printer before a takeover, in seconds; None when nobody knows."""

    length_s: float | None

    def is_longer_than(self, limit_s: float) -> bool:
        """Whether a person should look at the part first; what is not known counts as long."""
        return self.length_s is None or self.length_s > limit_s

    def sentence(self, line: int) -> str:
        """What happened, and what the two answers do."""
        lasted = "an unknown time" if self.length_s is None else _spoken(self.length_s)
        return (
            f"nobody was at the printer for {lasted}; the nozzle is lifted off the part. "
            f"`fabunit resume` prints on behind line {line}, `fabunit cancel` ends the print"
        )


def gap_of(contact: LastContact | None, now: float) -> Gap:
    """The time since the last contact; `now` is monotonic."""
    if contact is None or contact.age_s is None:
        return Gap(None)
    return Gap(contact.age_s + max(0.0, now - contact.since_s))


def stand_of(
    answer: Answered, record: PrintRecord, snapshot: PauseSnapshot | None, known_line: int = 0
) -> Stand:
    """Where `record` stands on the printer that answered; `known_line` was acknowledged to this process."""
    counter = answer.last_line
    if answer.restarted:
        return Stand(Where.RESET)
    if counter is None or answer.dialect.counter is not Counter.PROBE:
        return Stand(Where.UNKNOWN)
    if answer.dialect.line_modulus is not None:
        return _wrapped(counter, answer.dialect.line_modulus, record, snapshot, known_line)
    line = counter - record.base
    if 0 <= line <= record.lines:
        return Stand(Where.JOB, line, snapshot if snapshot and snapshot.line == line else None)
    if counter in HOST_BASES:
        return _by_checkpoint(snapshot)
    return Stand(Where.RESET)


def _wrapped(
    counter: int, modulus: int, record: PrintRecord, snapshot: PauseSnapshot | None, known_line: int
) -> Stand:
    """Numbers wrap around: a host's number may look like one of the job's, so a checkpoint goes before the counter."""
    if counter == 0:
        return Stand(Where.RESET)
    if snapshot is not None:
        return _by_checkpoint(snapshot)
    nearest = max(0, known_line - SLACK_LINES)
    line = nearest + (counter - record.base - nearest) % modulus
    if known_line:
        near = line <= min(record.lines, known_line + SLACK_LINES)
        return Stand(Where.JOB, line) if near else Stand(Where.RESET)
    if record.lines >= modulus:
        return Stand(Where.UNKNOWN)
    return Stand(Where.JOB, line) if line <= record.lines else Stand(Where.RESET)


def _by_checkpoint(snapshot: PauseSnapshot | None) -> Stand:
    if snapshot is None or snapshot.stage == "starting":
        return Stand(Where.BEGINNING)
    return Stand(Where.CHECKPOINT, snapshot.line, snapshot)


def _spoken(length_s: float) -> str:
    return f"{length_s:.0f} s" if length_s < 120 else f"{length_s / 60:.0f} minutes"
