"""Copies the database after each start and once a day; a copy that fails is a warning, never more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from agent.domain.errors import StorageError
from agent.storage.backup import back_up

if TYPE_CHECKING:
    from pathlib import Path

# The start, and a print that waits to go on, come first.
DELAY_S = 30.0
EVERY_S = 86_400.0

_log = structlog.get_logger("backup")


class BackupKeeper:
    """Event loop only; the copying runs in a thread."""

    def __init__(self, path: Path, *, delay_s: float = DELAY_S, every_s: float = EVERY_S) -> None:
        self._path = path
        self._delay_s = delay_s
        self._every_s = every_s
        self._failure = ""

    async def run(self) -> None:
        """Copy until cancelled."""
        await asyncio.sleep(self._delay_s)
        while True:
            try:
                copy = await asyncio.to_thread(back_up, self._path)
                self._failure = ""
                _log.info("database_copied", file=copy.name)
            except StorageError as error:
                self._failure = error.message
                _log.warning("database_not_copied", detail=error.message)
            await asyncio.sleep(self._every_s)

    def warnings(self) -> list[str]:
        """Return why there is no new copy."""
        return [f"the database could not be copied: {self._failure}"] if self._failure else []
