from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.storage.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "fabunit.db")
    yield database
    await database.close()
