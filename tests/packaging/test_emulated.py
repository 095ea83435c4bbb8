"""The list of what an emulated processor cannot do names tests that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.emulated import BEYOND_AN_EMULATOR

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("test_id", BEYOND_AN_EMULATOR)
def test_what_is_skipped_there_exists(test_id: str) -> None:
    path, _, name = test_id.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text()
