"""Hours of printing without a network: kept small, delivered at once; live samples soon after a reconnection."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.coordinator.standin.broker import find_mosquitto
from benchmarks import link_offline

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@pytest.mark.timeout(120)
def test_hours_without_a_network_are_delivered_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_offline, "LIVE_ROUNDS", 1)
    day = link_offline.measure(tmp_path, 4)
    assert day.is_sound
    assert day.database_bytes + day.telemetry_bytes < 4 * 100_000, "a day is less than 2 MB and a half"
    assert day.catch_up_s <= 5.0
    assert day.live_s <= 2.0 + 1.0, "the busiest machine that runs this may need a second more"
