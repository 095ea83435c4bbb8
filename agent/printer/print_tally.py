"""What is counted during one attempt at a print, over all its connections, and the outcome made of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.job import Reason
from agent.domain.prints import OutcomeState, PrintOrder, PrintOutcome
from agent.printer.engine import LineEngine
from agent.printer.engine_events import Verdict

REASON_FOR = {
    Verdict.RESET: Reason.PRINTER_RESET,
    Verdict.HALTED: Reason.PRINTER_HALTED,
    Verdict.SILENT: Reason.PRINTER_SILENT,
    Verdict.RESEND_LIMIT: Reason.RESEND_LIMIT,
    Verdict.UNCERTAIN: Reason.LINE_UNCERTAIN,
}
"""Why a print failed, by what the line engine found."""


@dataclass(frozen=True, slots=True)
class Troubles:
    """Counts of what went wrong on the line."""

    resends: int = 0
    timeouts: int = 0


class PrintTally:
    """Counts of one attempt; `started_at` is monotonic seconds."""

    def __init__(self, order: PrintOrder, started_at: float) -> None:
        self.line = 0
        self.reconnects = 0
        self.counter: int | None = None
        self.sha256: str | None = None
        self._order = order
        self._started_at = started_at
        self._past = Troubles()
        self._engine: LineEngine | None = None
        self._before = Troubles()

    def line_with(self, engine: LineEngine | None) -> int:
        """The last job line known to be acknowledged, while this engine may be at it."""
        if engine is not None and engine.base == self._order.record.base:
            return max(self.line, engine.window.acked)
        return self.line

    def begin(self, engine: LineEngine) -> None:
        """Count what this connection loses from now on."""
        self._engine = engine
        self._before = Troubles(engine.resends, engine.timeouts)

    def take_over(self, engine: LineEngine) -> None:
        """Carry the counts of a connection over to the next one. Calling it again changes nothing."""
        self.line = self.line_with(engine)
        self._past = self._troubles()
        self._engine = None

    def _troubles(self) -> Troubles:
        """Lines sent again and answers overdue, over all connections of this attempt."""
        engine, past, before = self._engine, self._past, self._before
        if engine is None:
            return past
        return Troubles(
            past.resends + engine.resends - before.resends, past.timeouts + engine.timeouts - before.timeouts
        )

    def ended_by_request(self, reason: Reason | None, detail: str, now: float) -> PrintOutcome:
        """A cancel by a person is a cancelled print, one by a rule a failed one."""
        by_person = reason in (None, Reason.USER, Reason.COORDINATOR)
        state = OutcomeState.CANCELLED if by_person else OutcomeState.FAILED
        return self.outcome(state, reason or Reason.USER, detail, now)

    def outcome(self, state: OutcomeState, reason: Reason | None, detail: str, now: float) -> PrintOutcome:
        """How the attempt ended, with everything that goes into the receipt."""
        record = self._order.record
        troubles = self._troubles()
        stats = {
            "lines": record.lines,
            "lines_acked": self.line,
            "base": record.base,
            "counter": self.counter,
            "prepared_sha256": self._order.prepared.sha256,
            "streamed_sha256": self.sha256,
            "resends": troubles.resends,
            "timeouts": troubles.timeouts,
            "taken_over": self._order.resume,
            "reconnects": self.reconnects,
            "elapsed_s": round(now - self._started_at, 3),
        }
        return PrintOutcome(state, reason, detail, self.line, stats)
