"""Short turns for the daemon's threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ops.turns import SWITCH_INTERVAL_S, TIMER_SLACK_NS, take_short_turns

SLACK = Path("/proc/self/timerslack_ns")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    interval_s, slack = sys.getswitchinterval(), SLACK.read_text("ascii") if SLACK.exists() else None
    yield
    sys.setswitchinterval(interval_s)
    if slack is not None:
        SLACK.write_text(slack, "ascii")


@pytest.mark.skipif(not SLACK.exists(), reason="this kernel does not tell its timers' slack")
def test_turns_are_short_for_python_and_for_the_kernel() -> None:
    take_short_turns()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert int(SLACK.read_text("ascii")) == TIMER_SLACK_NS


def test_a_kernel_that_refuses_leaves_pythons_part(tmp_path: Path) -> None:
    take_short_turns(tmp_path / "none" / "timerslack_ns")
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
