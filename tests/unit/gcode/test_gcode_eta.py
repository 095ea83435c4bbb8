"""Remaining time: right from the first minute, soon as fast or slow as this printer, honest about what it knows."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gcode.eta import PRIOR_SPREAD, Eta


def after(ratio: float, index_s: float, *, noise: float = 0.0, step: float = 1.0) -> Eta:
    rng, eta, at = random.Random(3), Eta(), 0.0
    while at < index_s:
        eta.observe(step, step * ratio * (1 + rng.uniform(-noise, noise)))
        at += step
    return eta


def test_without_observation_the_index_counts() -> None:
    found = Eta().remaining(1000, 100)
    assert found.seconds == 900
    assert found.plus_minus_s == pytest.approx(2 * 900 * PRIOR_SPREAD)


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.05, 1.5])
def test_a_printers_own_speed_is_learned(ratio: float) -> None:
    early, late = after(ratio, 120).remaining(7200, 120), after(ratio, 3600).remaining(7200, 3600)
    assert abs(early.seconds - 7080 * ratio) <= 0.51 * abs(7080 * (ratio - 1)) + 1
    assert late.seconds == pytest.approx(3600 * ratio, rel=0.1 * abs(ratio - 1) + 1e-6)
    assert late.plus_minus_s < early.plus_minus_s


def test_the_truth_lies_within_what_is_stated() -> None:
    hits = 0
    for seed in range(100):
        rng, eta = random.Random(seed), Eta()
        ratio = rng.uniform(0.95, 1.05)
        spans = [30 * ratio * (1 + rng.gauss(0, 0.03)) for _ in range(200)]
        for real in spans[:60]:
            eta.observe(30, real)
        found = eta.remaining(6000, 1800)
        hits += abs(found.seconds - sum(spans[60:])) <= found.plus_minus_s
    assert hits >= 90


def test_a_change_of_speed_is_followed() -> None:
    eta = after(1.0, 3600)
    for _ in range(120):
        eta.observe(30, 45)
    assert eta.ratio == pytest.approx(1.5, rel=0.1)


def test_at_the_end_nothing_remains() -> None:
    found = after(1.2, 600).remaining(600, 700)
    assert (found.seconds, found.plus_minus_s) == (0.0, 0.0)


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=60), st.floats(0, 1e6), st.floats(0, 1e6))
def test_whatever_is_observed_the_answer_is_finite(
    observed: list[tuple[float, float]], total: float, at: float
) -> None:
    eta = Eta()
    for index_s, real_s in observed:
        eta.observe(index_s, real_s)
    found = eta.remaining(total, at)
    assert math.isfinite(found.seconds)
    assert math.isfinite(found.plus_minus_s)
    assert found.seconds >= 0
    assert found.plus_minus_s >= 0
