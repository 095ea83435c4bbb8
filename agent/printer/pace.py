"""How fast and how carefully: latency, patience, window size and when our count is checked."""

from __future__ import annotations

from agent.printer.latency import LatencyHistogram
from agent.printer.window import SendWindow, WindowSize

BUSY_PERIOD_S = 2.0
"""Marlin's default host keepalive interval (M113)."""
PATIENCE_MARGIN_S = 0.3
SILENT_PATIENCE_S = 3.0
"""Before asking a firmware that never says `busy`."""
SHORT_PATIENCE_S = 0.1
SHORT_PATIENCE_ANSWERS = 4
EAGER_PATIENCE_S = 0.25
"""Before asking about a line that does not block: a question in vain costs 21 bytes and narrows the window for a
moment, a lost ok stops the print until it is asked about."""
EAGER_ANSWERS = 5
USUAL = 0.9
"""Share of latencies that is taken for usual; the longest ones are those of lost oks."""
SILENT_WAITS = 400
"""Patiences granted to a blocking command of such a firmware: 20 minutes, longer than any heat-up. A temperature
question behind the command tells earlier when it is over."""
ANSWER_S = 0.25
ANSWER_LATENCIES = 4
"""How long to wait for the answer to a question before asking again; doubled every time, because a firmware whose
queue is full cannot read questions, and they would overflow its receive ring."""
DEAD_TALKING_S = 15.0
"""Silence of a firmware that reports by itself: seven missed signs of life at Marlin's usual two seconds."""
DEAD_S = 180.0
"""Silence of a firmware that speaks only when asked: longer than a bed levelling."""
QUIET_FLOOR_S = 0.010
"""Measured on Marlin: 10 ms of silence suffice with one line in flight."""
QUIET_CEILING_S = 0.150
QUIET_PER_LINE_S = 0.004
"""One more line in flight may still be on a 115,200 baud wire: 38 bytes take 3.3 ms."""
CHECK_FIRST = 200
CHECK_MOST = 4000
CHECK_LEAST = 50
SUSPICION_LINES = 20
CAREFUL = WindowSize(4, 120)
"""Safe on every board measured: 4 command slots and a 128-byte receive ring."""
NEVER = 1 << 62
"""A line no session reaches."""
CLEAN_FIRST = 500
CLEAN_MOST = 16000


class Pace:
    """Adapts to what is seen; pure bookkeeping."""

    def __init__(self, size: WindowSize, *, keepalive: bool) -> None:
        self.full = size
        self.latency = LatencyHistogram()
        self.busy_period_s = BUSY_PERIOD_S
        self._keepalive = keepalive
        self._busy_seen = False
        self._talks = False
        self._sample_line = NEVER  # the line whose ok is timed
        self._sample_at = 0.0
        self._check_every = CHECK_FIRST
        self.check_at = NEVER  # the line at which our count is compared with the firmware's
        self._clean_needed = CLEAN_FIRST
        self._widen_at: int | None = None
        self._single = False
        self.is_steady = True  # the window has its full size
        self._usual = 0.0
        self._usual_of = 0  # how many latencies it was worked out from

    def answer_s(self, asked: int) -> float:
        """How long the answer to a question may take when `asked` were put before it in vain."""
        first_s = max(ANSWER_S, ANSWER_LATENCIES * min(self._usual_s(), ANSWER_S))
        return min(first_s * 2.0 ** min(asked, 16), self.dead_s / 4)

    @property
    def patience_s(self) -> float:
        """Silence about the oldest line after which the firmware is asked."""
        if self._keepalive or self._busy_seen:
            return self.busy_period_s + PATIENCE_MARGIN_S
        return SILENT_PATIENCE_S

    @property
    def eager_patience_s(self) -> float:
        """The same for a line that does not block, by what is usual on this line."""
        return min(self.patience_s, max(EAGER_PATIENCE_S, EAGER_ANSWERS * self._usual_s()))

    @property
    def short_patience_s(self) -> float:
        """The same when there is reason to think that an ok was lost: a few usual answer times."""
        return min(self.patience_s, max(SHORT_PATIENCE_S, SHORT_PATIENCE_ANSWERS * self._usual_s()))

    @property
    def single(self) -> bool:
        """One line at a time until the next ok, because lines were just lost."""
        return self._single

    @property
    def dead_s(self) -> float:
        """Complete silence after which the printer counts as gone."""
        return DEAD_TALKING_S if self._talks else DEAD_S

    def quiet_s(self, in_flight: int) -> float:
        """Silence after which no answer to an older line is to be expected."""
        least = self.latency.least_s if self.latency.total else 0.0
        return min(QUIET_CEILING_S, QUIET_FLOOR_S + 3 * min(least, 0.05) + QUIET_PER_LINE_S * in_flight)

    def may_still_run(self, waits: int) -> bool:
        """Whether an accepted blocking command may still be running although it was silent for `waits` + 1 patiences.

        A firmware with keepalive would have said `busy`.
        """
        return not (self._keepalive or self._busy_seen) and waits < SILENT_WAITS

    def busy_seen(self) -> None:
        """The firmware says `busy` during long commands."""
        self._busy_seen = self._talks = True

    def report_seen(self) -> None:
        """The firmware reports temperatures by itself."""
        self._talks = True

    def restart(self, window: SendWindow) -> None:
        """A new session begins behind the window's last line."""
        self.check_at = window.sent + self._check_every
        self._sample_line = NEVER
        self._widen_at = None
        self._single = False
        self.is_steady = True
        window.size = self.full

    def sent(self, window: SendWindow, now: float) -> None:
        """Lines went out."""
        if self._sample_line == NEVER:
            self._sample_line, self._sample_at = window.sent, now

    def exchanged(self, acked: int, sent: int, now: float) -> None:
        """Oks up to `acked` came in and lines up to `sent` went out, both at once, while the window is steady."""
        line = self._sample_line
        if acked >= line:
            self.latency.add(now - self._sample_at)
        elif line != NEVER:
            return
        self._sample_line, self._sample_at = sent, now

    def acked(self, window: SendWindow, now: float) -> None:
        """Oks came in."""
        if window.acked >= self._sample_line:
            self.latency.add(now - self._sample_at)
            self._sample_line = NEVER
        if self.is_steady:
            return
        if self._single:
            self._single = False
            window.size = self._careful() if self._widen_at is not None else self.full
        if self._widen_at is not None and window.acked >= self._widen_at:
            self._widen_at = None
            window.size = self.full
        self.is_steady = self._widen_at is None and not self._single

    def lost(self, window: SendWindow) -> None:
        """Lines were lost or rejected: one line until it is acknowledged, then carefully, then the full window."""
        self._sample_line = NEVER
        self._single = True
        self.is_steady = False
        self._widen_at = window.sent + self._clean_needed
        self._clean_needed = min(self._clean_needed * 2, CLEAN_MOST)
        window.size = WindowSize(1, self.full.bytes)

    def suspect(self, index: int) -> None:
        """Our count may be wrong: compare it soon."""
        self.check_at = min(self.check_at, index + SUSPICION_LINES)

    def verified(self, *, drift: int, index: int, now: float) -> None:
        """The counts were compared; `drift` is how many oks we counted too many (negative: lost)."""
        if drift:
            self._check_every = max(CHECK_LEAST, self._check_every // 2)
        else:
            self._check_every = min(CHECK_MOST, self._check_every * 2)
        self.check_at = index + self._check_every
        if self._sample_line <= index:
            self.latency.add(now - self._sample_at)  # at least: where lines are slow, patience must learn it
        self._sample_line = NEVER

    def _usual_s(self) -> float:
        """The usual latency; worked out anew only when it can have changed by a twentieth."""
        total = self.latency.total
        if total - self._usual_of > total // 20:
            self._usual_of = total
            self._usual = self.latency.percentile_s(USUAL)
        return self._usual

    def _careful(self) -> WindowSize:
        return WindowSize(min(self.full.lines, CAREFUL.lines), min(self.full.bytes, CAREFUL.bytes))
