"""A small fleet on one broker that is killed: everybody comes back, nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.coordinator.standin.broker import find_mosquitto
from benchmarks import fleet

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_small_fleet_survives_its_broker(tmp_path: Path) -> None:
    result = fleet.run(tmp_path, units=12, calm_s=2.0, outage_s=1.0)
    assert result.wrong == 0
    assert result.records >= result.events > 0
    assert result.all_back_s < 60.0
