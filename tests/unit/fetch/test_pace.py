from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.coordinator.fetch.pace import FetchLimits, Pace
from agent.domain.fetching import FetchError

LIMITS = FetchLimits(header_s=20, idle_s=30, window_s=10, min_rate_bytes_s=100, attempt_s=600)


def test_a_trickling_header_ends_in_time() -> None:
    pace = Pace(LIMITS, 0.0)
    pace.begin_header(0.0)
    for second in range(1, 20):
        pace.received(1, float(second))
        assert pace.wait_s(float(second)) == 20 - second
    with pytest.raises(FetchError) as caught:
        pace.wait_s(20.0)
    assert caught.value.code == "too_slow"
    assert caught.value.is_transient


def test_a_body_below_the_minimum_rate_ends_with_its_first_window() -> None:
    pace = Pace(LIMITS, 0.0)
    pace.begin_body(5.0)
    pace.received(999, 14.9)
    with pytest.raises(FetchError, match="100 bytes/s"):
        pace.received(0, 15.0)


def test_each_window_is_judged_by_itself() -> None:
    pace = Pace(LIMITS, 0.0)
    pace.begin_body(0.0)
    pace.received(1_000_000, 10.0)
    with pytest.raises(FetchError):
        pace.wait_s(20.0)


def test_the_attempt_ends_however_fast_it_is() -> None:
    pace = Pace(LIMITS, 0.0)
    pace.begin_body(0.0)
    for second in range(1, 600):
        pace.received(1000, float(second))
    assert pace.wait_s(599.5) == pytest.approx(0.5)
    with pytest.raises(FetchError) as caught:
        pace.wait_s(600.0)
    assert caught.value.code == "timed_out"


def test_silence_is_judged_before_a_long_window_ends() -> None:
    pace = Pace(FetchLimits(idle_s=5, window_s=60), 0.0)
    pace.begin_body(0.0)
    assert pace.wait_s(0.0) == 5
    with pytest.raises(FetchError, match="silent"):
        pace.silent(5.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 9), st.integers(0, 3000)), max_size=80))
def test_no_server_holds_longer_than_its_bytes_earn(steps: list[tuple[float, int]]) -> None:
    pace = Pace(LIMITS, 0.0)
    pace.begin_body(0.0)
    now_s, total = 0.0, 0
    with contextlib.suppress(FetchError):
        for step_s, size in steps:
            now_s += min(step_s, pace.wait_s(now_s))
            total += size
            pace.received(size, now_s)
            # Each window is at most one step longer than it should be, and all but the last had their minimum.
            earned = LIMITS.min_rate_bytes_s * LIMITS.window_s
            assert total >= earned * max(0.0, now_s // (LIMITS.window_s + 9) - 1)
    assert now_s <= LIMITS.attempt_s
