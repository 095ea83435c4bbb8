"""Kills over unit, broker, coordinator and network: nothing lost, nothing doubled, no job printed twice.

The long version is `python -m benchmarks.link_chaos --kills 100`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.coordinator.standin.broker import find_mosquitto
from benchmarks import link_chaos

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@pytest.mark.timeout(200)
def test_a_few_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    result = link_chaos.run(tmp_path, kills=8, jobs=3, seed=7, moves=80, pause_s=0.8)
    assert result.wrong == []
    assert result.records >= 3 * 7
    assert len(result.kills) >= 3, "the seed has to reach several places"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    result = link_chaos.run(tmp_path, kills=100, jobs=40, seed=2)
    assert result.wrong == []
