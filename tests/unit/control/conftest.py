"""Fixtures: a unit in the middle of a print, served on a real Unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.control.fake_unit import printing_unit
from tests.unit.control.served import Served, serve

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve a printing unit."""
    with serve(printing_unit()) as running:
        yield running
