"""Latency percentiles in constant memory."""

from __future__ import annotations

from bisect import bisect_left

_STEP = 1.25
"""Ratio between neighbouring buckets: a percentile is right within 12 %."""
_FLOOR_S = 50e-6


class LatencyHistogram:
    """Counts of durations in logarithmic buckets from 50 µs upwards."""

    def __init__(self) -> None:
        self._bounds = [_FLOOR_S * _STEP**k for k in range(80)]
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0
        self.least_s = float("inf")
        self.most_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += 1
        self.least_s = min(self.least_s, seconds)
        self.most_s = max(self.most_s, seconds)

    def percentile_s(self, share: float) -> float:
        """The duration that `share` (0..1) of all counted ones do not exceed; 0.0 when nothing was counted."""
        if not self.total:
            return 0.0
        wanted = share * self.total
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                bound = self._bounds[min(bucket, len(self._bounds) - 1)]
                return min(bound, self.most_s)
        return self.most_s
