"""A counter that others can wait on: how the rest of the daemon learns that the queue changed."""

from __future__ import annotations

import asyncio


class Changes:
    """Counts commits; event loop only. Whoever read version v misses nothing by waiting for one above v."""

    def __init__(self) -> None:
        self.version = 0
        self._next = asyncio.Event()

    def bump(self) -> None:
        """Count one change and wake all who wait."""
        self.version += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, since: int) -> int:
        """Return the version as soon as it is above `since`."""
        while self.version <= since:
            await self._next.wait()
        return self.version
