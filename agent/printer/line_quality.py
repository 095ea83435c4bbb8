"""Whether the line to the printer is getting worse, told before it costs a print. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.printer.engine import LineEngine
from agent.printer.latency import LatencyHistogram

JUDGED_LINES = 500
"""The newest lines that are judged: enough for a rate, few enough to be told within a minute of printing."""
STEP_LINES = 100
"""Between two readings: a few of them span what is judged."""
NOISY_PER_1000 = 5.0
"""A good USB cable loses none in a million; 10 to 15 are one wrong bit in a hundred bytes (measured)."""
FAILING_PER_1000 = 50.0
"""Twenty lines for one lost: at three times this rate a print crawls, and a few more end it."""
CALM_SHARE = 0.5
"""A line is better again well below the rate that made it worse, so that it does not go to and fro."""


class LineState(StrEnum):
    """How the line to the printer does: no or few losses; a bad cable; about to cost the print."""

    GOOD = "good"
    NOISY = "noisy"
    FAILING = "failing"


LEAST_PER_1000 = {LineState.GOOD: 0.0, LineState.NOISY: NOISY_PER_1000, LineState.FAILING: FAILING_PER_1000}


@dataclass(frozen=True, slots=True)
class LineReport:
    """The newest lines of a connection: how many, how many were lost, how long the others waited for their ok."""

    state: LineState
    lines: int
    resends: int
    timeouts: int
    ok_ms: dict[str, float]

    @property
    def lost_per_1000(self) -> float:
        """Refused lines and answers that did not come, of 1,000 lines."""
        return 1000 * (self.resends + self.timeouts) / max(1, self.lines)

    @property
    def detail(self) -> str:
        """One sentence for people."""
        if self.state is LineState.GOOD:
            return "the line to the printer is good again"
        lost = f"{self.lost_per_1000:.0f} of 1,000 lines or their answers were lost"
        threat = "; it may cost the print" if self.state is LineState.FAILING else ""
        return f"the line to the printer is {self.state}: {lost}{threat}; try another USB cable or port"

    def data(self) -> dict[str, Any]:
        """The figures, for events."""
        return {
            "lines": self.lines,
            "resends": self.resends,
            "timeouts": self.timeouts,
            "lost_per_1000": round(self.lost_per_1000, 1),
            "ok_ms": self.ok_ms,
        }


@dataclass(frozen=True, slots=True)
class _Reading:
    """The counters of a connection at one moment."""

    sent: int
    resends: int
    timeouts: int
    latency: LatencyHistogram


class LineQuality:
    """Follows one connection after the other."""

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque()
        self._engine: LineEngine | None = None
        self.report: LineReport | None = None  # of the newest lines, once there were enough

    @property
    def state(self) -> LineState:
        """The state told last."""
        return self.report.state if self.report is not None else LineState.GOOD

    def look(self, engine: LineEngine) -> LineReport | None:
        """Read the counters, about once a second; the report when the state has changed."""
        if engine is not self._engine:
            self._engine = engine
            self._readings.clear()
        sent = engine.window.sent
        if self._readings and sent < self._readings[-1].sent:
            self._readings.clear()  # another session: its lines are counted from the start
        if self._readings and sent - self._readings[-1].sent < STEP_LINES:
            return None
        newest = _Reading(sent, engine.resends, engine.timeouts, engine.pace.latency.copy())
        self._readings.append(newest)
        while len(self._readings) > 1 and newest.sent - self._readings[1].sent >= JUDGED_LINES:
            self._readings.popleft()
        if newest.sent - self._readings[0].sent < JUDGED_LINES:
            return None
        return self._judge(self._readings[0], newest)

    def _judge(self, oldest: _Reading, newest: _Reading) -> LineReport | None:
        was = self.state
        latency = LatencyHistogram()
        latency.absorb(newest.latency, oldest.latency)
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
        figures = LineReport(
            state=was,
            lines=newest.sent - oldest.sent,
            resends=newest.resends - oldest.resends,
            timeouts=newest.timeouts - oldest.timeouts,
            ok_ms={name: round(latency.percentile_s(share) * 1000, 3) for name, share in shares.items()},
        )
        self.report = LineReport(
            next_state(was, figures.lost_per_1000),
            figures.lines,
            figures.resends,
            figures.timeouts,
            figures.ok_ms,
        )
        return self.report if self.report.state is not was else None


def next_state(was: LineState, lost_per_1000: float) -> LineState:
    """The state at this rate; a better one only well below the limit of the present one."""
    worst = [state for state in LineState if lost_per_1000 >= LEAST_PER_1000[state]][-1]
    order = list(LineState)
    if order.index(worst) >= order.index(was) or lost_per_1000 < CALM_SHARE * LEAST_PER_1000[was]:
        return worst
    return was
