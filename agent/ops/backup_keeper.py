"""Copies the database after each start, once a day, and when the copy holds what is to be forgotten.

A copy that fails is a warning, never more.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from agent.domain.errors import StorageError
from agent.storage.backup import back_up, holds_order

if TYPE_CHECKING:
    from pathlib import Path

# The start, and a print that waits to go on, come first.
DELAY_S = 30.0
EVERY_S = 86_400.0
# After a failure: an older copy may hold an order that is to be forgotten.
AGAIN_S = 3_600.0

_log = structlog.get_logger("backup")


class BackupKeeper:
    """Event loop only; the copying runs in a thread."""

    def __init__(
        self,
        path: Path,
        *,
        delay_s: float = DELAY_S,
        every_s: float = EVERY_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._path = path
        self._delay_s = delay_s
        self._every_s = every_s
        self._again_s = again_s
        self._failure = ""
        self._failed = asyncio.Event()
        # One copy at a time: what is asked of the present copy must not be answered while another replaces it.
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Copy until cancelled."""
        await asyncio.sleep(self._delay_s)
        while True:
            async with self._lock:
                await self._copy()
            if not self._failure:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._failed.wait(), self._every_s)
            if self._failure:
                await asyncio.sleep(self._again_s)

    async def forget_order(self, job_id: str, rev: int) -> None:
        """Make the copy anew if it has the text of an order, which the database has no longer."""
        async with self._lock:
            if await asyncio.to_thread(holds_order, self._path, job_id, rev):
                await self._copy()

    async def _copy(self) -> None:
        try:
            copy = await asyncio.to_thread(back_up, self._path)
            self._failure = ""
            self._failed.clear()
            _log.info("database_copied", file=copy.name)
        except StorageError as error:
            self._failure = error.message
            self._failed.set()
            _log.warning("database_not_copied", detail=error.message)

    def warnings(self) -> list[str]:
        """Return why there is no new copy."""
        return [f"the database could not be copied: {self._failure}"] if self._failure else []
