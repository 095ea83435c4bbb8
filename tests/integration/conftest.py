"""Fixtures for tests that run real processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rig import Rig


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_reaches_children() -> None:
    """Background jobs of a shell ignore SIGINT, and children inherit that: the tests of Ctrl-C could not work."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An empty bench; whatever the test started is ended by process id."""
    bench = Rig(tmp_path)
    try:
        yield bench
    finally:
        bench.close()
