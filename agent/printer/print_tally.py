"""What is counted during one attempt at a print, over all its connections, and the outcome made of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.domain.job import Reason
from agent.domain.prints import OutcomeState, PrintOrder, PrintOutcome
from agent.printer.engine import LineEngine
from agent.printer.engine_events import Verdict
from agent.printer.latency import LatencyHistogram
from agent.printer.salvage import Proposal

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
    """Counts of one attempt; `started_at` and the other instants are monotonic seconds.

    `line`: the last one acknowledged. `from_line`: what is counted here concerns the lines behind this one; an earlier
    daemon took its own counts with it. `began_at`: the first line went out. `still_at`: the last move was over.
    """

    def __init__(self, order: PrintOrder, started_at: float) -> None:
        self.line = 0
        self.reconnects = 0
        self.counter: int | None = None
        self.sha256: str | None = None
        self.from_line = 0
        self.began_at: float | None = None
        self.still_at: float | None = None
        self._latency = LatencyHistogram()
        self._latency_before = LatencyHistogram()
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
        self._latency_before = engine.pace.latency.copy()

    def take_over(self, engine: LineEngine) -> None:
        """Carry the counts of a connection over to the next one. Calling it again changes nothing."""
        self.line = self.line_with(engine)
        self._past = self._troubles()
        if self._engine is not None:
            self._latency.absorb(self._engine.pace.latency, self._latency_before)
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
            "counted_from_line": self.from_line,
            "elapsed_s": round(now - self._started_at, 3),
            **self._times(),
            **self._latencies(),
        }
        return PrintOutcome(state, reason, detail, self.line, stats)

    def with_salvage(self, outcome: PrintOutcome, proposal: Proposal) -> PrintOutcome:
        """Add how the print could go on, for the receipt and in the words that people see first."""
        if proposal.obstacle:
            words = f"it cannot be salvaged: {proposal.obstacle}"
        else:
            words = (
                f"it stopped in layer {proposal.layer} of {proposal.layers} at {proposal.height_mm:g} mm: "
                f"leave everything as it is and see `fabunit job salvage {self._order.record.job_id}`"
            )
        return replace(outcome, detail=f"{outcome.detail}; {words}", salvage=proposal.document())

    def _times(self) -> dict[str, float]:
        """From the first line to the end of the last move; nothing where this daemon has not seen both."""
        if self.began_at is None or self.still_at is None:
            return {}
        return {"to_standstill_s": round(self.still_at - self.began_at, 3)}

    def _latencies(self) -> dict[str, object]:
        """How long lines waited for their ok, over all connections of this attempt; nothing where none was measured."""
        latency = self._latency.copy()
        if self._engine is not None:
            latency.absorb(self._engine.pace.latency, self._latency_before)
        if not latency.total:
            return {}
        shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
        figures = {name: round(latency.percentile_s(share) * 1000, 3) for name, share in shares.items()}
        return {"ok_latency": {"samples": latency.total, **figures}}
