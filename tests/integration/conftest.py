"""Fixtures for tests that run real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An empty bench; whatever the test started is ended by process id."""
    bench = Rig(tmp_path)
    try:
        yield bench
    finally:
        bench.close()
