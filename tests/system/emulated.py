"""A pytest plugin for an emulated processor, ten to twenty times slower: limits of time are stretched, nothing else."""

from __future__ import annotations

import hypothesis
import pytest

STRETCH = 15
"""A Cortex-A53 under qemu-user beside its host: 8 to 12 times slower, measured, and the host is shared."""

hypothesis.settings.register_profile(
    "emulated", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("emulated")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stretch the limits that tests set for themselves."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        if marker is not None and marker.args:
            item.add_marker(pytest.mark.timeout(float(marker.args[0]) * STRETCH), append=False)
