"""How long a print still takes: the index, corrected by how fast this printer really is, with its uncertainty. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

PRIOR_SPREAD = 0.05
"""What is not known of a printer that has not moved yet: its limits, its firmware's habits."""
SPAN_S = 30.0
"""Of index time in one observation; shorter ones mostly measure how lines are acknowledged."""
SPAN_SPREAD = 0.04
"""What one span is never known better than: lines are acknowledged before they are executed."""
FORGET_SPANS = 40  # twenty minutes: what the printer did earlier counts less and less
MOST_RATIO = 10.0  # a stall is no speed


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds that remain, and how far that may be off (two standard deviations, never negative)."""

    seconds: float
    plus_minus_s: float


class Eta:
    """Compares seconds of the index with seconds that passed, over spans of 30 s or more.

    The index is believed like a measurement with PRIOR_SPREAD, each span like one with its own spread: a printer that
    is evenly slower is found out within minutes, one that is uneven is believed later. Only time in which the printer
    moves counts: pauses, heating and homing must not be observed.
    """

    def __init__(self) -> None:
        self._index_s = 0.0
        self._real_s = 0.0
        self._weight = 0.0
        self._mean = 1.0
        self._squares = 0.0
        self.ratio = 1.0

    def observe(self, index_s: float, real_s: float) -> None:
        """Take that the index went on by `index_s` while `real_s` passed; both are 0 or more."""
        if index_s < 0 or real_s < 0 or not math.isfinite(index_s + real_s):
            return
        self._index_s += index_s
        self._real_s += real_s
        if self._index_s >= SPAN_S:
            self._take(min(self._real_s / self._index_s, MOST_RATIO), self._index_s / SPAN_S)
            self._index_s = self._real_s = 0.0

    def remaining(self, total_s: float, at_s: float) -> Remaining:
        """Return what remains when the index stands at `at_s` of `total_s`."""
        left = max(0.0, total_s - at_s)
        ahead = max(left / SPAN_S, 1.0)
        # How well the mean is known; and the spans that come vary as those that were.
        spread = math.sqrt(1 / self._precision())
        if self._weight:
            spread = math.sqrt(spread * spread + self._variance() / ahead)
        return Remaining(left * self.ratio, 2 * left * self.ratio * spread)

    def _variance(self) -> float:
        return SPAN_SPREAD * SPAN_SPREAD + (self._squares / self._weight if self._weight else 0.0)

    def _precision(self) -> float:
        return 1 / (PRIOR_SPREAD * PRIOR_SPREAD) + self._weight / self._variance()

    def _take(self, ratio: float, spans: float) -> None:
        """Fold in an observation over so many spans: an average that forgets, and the squares around it (West 1979)."""
        spans = min(spans, FORGET_SPANS)
        kept = (1 - 1 / FORGET_SPANS) ** spans
        self._weight = self._weight * kept + spans
        change = ratio - self._mean
        self._mean += change * spans / self._weight
        self._squares = max(0.0, self._squares * kept + spans * change * (ratio - self._mean))
        told = self._weight / self._variance()
        self.ratio = 1 + (self._mean - 1) * told / self._precision()
