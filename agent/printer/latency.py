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
        if seconds < self.least_s:  # noqa: PLR1730 - on the path of every ok
            self.least_s = seconds
        if seconds > self.most_s:  # noqa: PLR1730 - the same
            self.most_s = seconds

    def copy(self) -> LatencyHistogram:
        """The counts as they are now."""
        twin = LatencyHistogram()
        twin.absorb(self)
        return twin

    def absorb(self, other: LatencyHistogram, since: LatencyHistogram | None = None) -> None:
        """Add what `other` has counted, without what it had counted when it was copied to `since`.

        Least and most are those of all that `other` has seen.
        """
        before = since._counts if since is not None else [0] * len(other._counts)  # noqa: SLF001 - its own kind
        self._counts = [
            mine + theirs - old for mine, theirs, old in zip(self._counts, other._counts, before, strict=True)
        ]
        self.total = sum(self._counts)
        self.least_s = min(self.least_s, other.least_s)
        self.most_s = max(self.most_s, other.most_s)

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
