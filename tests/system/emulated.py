"""A pytest plugin for an emulated processor, ten to twenty times slower: limits of time are stretched.

What asks for something that no program has under qemu-user is skipped, with the reason.
"""

from __future__ import annotations

import hypothesis
import pytest

STRETCH = 15
"""A Cortex-A53 under qemu-user beside its host: 8 to 12 times slower, measured, and the host is shared."""

_NO_MEMORY_LIMIT = "qemu-user keeps RLIMIT_AS from its programs: it would limit the emulator, too"
_EMULATORS_MEMORY = "a process's memory is that of the emulator, too"
BEYOND_AN_EMULATOR = {
    "tests/unit/gcode/test_gcode_worker.py::test_memory_does_not_grow_with_the_file": _EMULATORS_MEMORY,
    "tests/unit/gcode/test_gcode_worker.py::test_the_child_is_niced_and_limited": _NO_MEMORY_LIMIT,
    "tests/unit/mesh/test_worker.py::test_the_child_is_niced_and_limited": _NO_MEMORY_LIMIT,
    "tests/unit/mesh/test_invariance.py::test_a_tangle_ends_within_bounds": (
        "the bound is 30 s of the check's own time: the emulated processor took 111 s"
    ),
    "tests/unit/coordinator/test_footprint.py::test_the_link_adds_few_megabytes_to_a_daemon": _EMULATORS_MEMORY,
}
"""Tests that cannot pass here, whatever fabunit does, by their id."""


def pytest_configure() -> None:
    """Hypothesis waits as long as it takes."""
    hypothesis.settings.register_profile(
        "emulated", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("emulated")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stretch the limits that tests set for themselves, skip what cannot pass here."""
    for item in items:
        if item.nodeid in BEYOND_AN_EMULATOR:
            item.add_marker(pytest.mark.skip(reason=BEYOND_AN_EMULATOR[item.nodeid]))
        marker = item.get_closest_marker("timeout")
        if marker is not None and marker.args:
            item.add_marker(pytest.mark.timeout(float(marker.args[0]) * STRETCH), append=False)
