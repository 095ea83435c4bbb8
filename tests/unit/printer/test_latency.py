"""Latency percentiles in constant memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.printer.latency import LatencyHistogram


def test_nothing_counted_is_zero() -> None:
    assert LatencyHistogram().percentile_s(0.99) == 0.0


@given(st.lists(st.floats(50e-6, 30.0), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_percentiles_are_right_within_a_bucket(values: list[float], share: float) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    ordered = sorted(values)
    exact = ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * share // 1) - 1).__int__())]
    assert exact <= histogram.percentile_s(share) * 1.0001
    assert histogram.percentile_s(share) <= exact * 1.26
    assert histogram.least_s == ordered[0]
    assert histogram.most_s == ordered[-1]
    assert histogram.percentile_s(1.0) == ordered[-1]


@given(st.floats(0, 1e9))
def test_any_duration_is_counted(value: float) -> None:
    histogram = LatencyHistogram()
    histogram.add(value)
    assert histogram.total == 1
    assert histogram.percentile_s(0.5) <= max(value, 50e-6)
