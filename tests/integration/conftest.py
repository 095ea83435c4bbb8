"""Fixtures for tests that run real processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.coordinator.standin.broker import LocalBroker
from tests.integration.rig import Rig
from tests.integration.workshop import Workshop

PROCESS_TIMEOUT_S = 300
"""These tests start real processes and wait for what they do; a crowded machine may take its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hang detection with a longer breath than that of the unit tests."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PROCESS_TIMEOUT_S))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An empty bench; whatever the test started is ended by process id."""
    bench = Rig(tmp_path)
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """A broker and a coordinator; a unit joins it with `ready`."""
    with (
        LocalBroker(tmp_path / "broker") as broker,
        contextlib.closing(Workshop(tmp_path, broker)) as made,
    ):
        yield made
