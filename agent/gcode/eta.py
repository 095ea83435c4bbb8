"""How long a print still takes: the index, corrected by how fast this printer really is, with its uncertainty. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

PRIOR_S = 120.0  # the model counts like two minutes of observation
PRIOR_SPREAD = (
    0.05  # what is not known of a printer that has not moved yet: its limits, its firmware's habits
)
SPAN_S = 30.0  # of index time in one observation; shorter ones mostly measure how lines are acknowledged
FORGET_SPANS = 60  # half an hour: what the printer did earlier counts less and less
MOST_RATIO = 10.0  # a stall is no speed


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds that remain, and how far that may be off (two standard deviations, never negative)."""

    seconds: float
    plus_minus_s: float


class Eta:
    """Compares seconds of the index with seconds that passed, over spans of some 30 s.

    Only time in which the printer moves counts: pauses, heating and homing must not be observed.
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
            self._take(min(self._real_s / self._index_s, MOST_RATIO))
            self._index_s = self._real_s = 0.0

    def remaining(self, total_s: float, at_s: float) -> Remaining:
        """Return what remains when the index stands at `at_s` of `total_s`."""
        left = max(0.0, total_s - at_s)
        prior_spans = PRIOR_S / SPAN_S
        trust = self._weight / (self._weight + prior_spans)
        # The mean is known the better the more spans there are; the spans that come vary as those that were.
        observed = math.sqrt(self._squares / self._weight) if self._weight else 0.0
        ahead = max(left / SPAN_S, 1.0)
        spread = (1 - trust) * PRIOR_SPREAD + trust * observed * (
            1 / math.sqrt(max(self._weight, 1.0)) + 1 / math.sqrt(ahead)
        )
        return Remaining(left * self.ratio, 2 * left * self.ratio * spread)

    def _take(self, ratio: float) -> None:
        """Fold in one span: an average that forgets, and the squares around it (West 1979)."""
        kept = 1 - 1 / FORGET_SPANS
        self._weight = self._weight * kept + 1
        change = ratio - self._mean
        self._mean += change / self._weight
        self._squares = max(0.0, self._squares * kept + change * (ratio - self._mean))
        prior_spans = PRIOR_S / SPAN_S
        self.ratio = (self._weight * self._mean + prior_spans) / (self._weight + prior_spans)
