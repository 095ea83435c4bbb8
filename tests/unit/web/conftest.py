from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.control.fake_unit import printing_unit
from tests.unit.web.web_bench import Web, served_web


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A printing unit with its HTTP listener open."""
    with served_web(printing_unit(), tmp_path) as running:
        yield running
