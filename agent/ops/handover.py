"""Giving way to a version that was installed beside this one: at once when idle, else when the print is over.

A restart in the middle of a print is survived, but not by every firmware, and a nozzle that stands still for a second
leaves a mark (docs/decisions/0012-package.md). The package's script leaves a file in the runtime directory; the daemon
starts no further print, waits for the present one, and ends in order. The service manager starts the current version.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

MARK = "handover"
LOOK_EVERY_S = 2.0
"""An upgrade waits ten seconds for idle units before it says that they are printing."""
LOOKS = 2
"""Idle looks in a row: between the decision for a print and its record in the database lie some milliseconds."""

_log = structlog.get_logger("handover")


class Handover:
    """Waits for the mark; event loop only."""

    def __init__(
        self, runtime: Path, *, is_busy: Callable[[], Awaitable[bool]], hold: Callable[[], None]
    ) -> None:
        """`hold` keeps further prints from starting; `is_busy` tells whether one is still on the printer."""
        self.mark = runtime / MARK
        self._is_busy = is_busy
        self._hold = hold
        self._remove()  # this process is what the mark asked for

    async def wait(self, look_every_s: float = LOOK_EVERY_S) -> None:
        """Return when the daemon is to end for its successor."""
        while True:
            if self.mark.exists():
                break
            await asyncio.sleep(look_every_s)
        _log.info("handover_wanted", version=self._wanted())
        self._hold()
        idle_looks = 0
        while idle_looks < LOOKS:
            await asyncio.sleep(look_every_s / LOOKS)
            idle_looks = 0 if await self._is_busy() else idle_looks + 1
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self.mark.unlink(missing_ok=True)

    def _wanted(self) -> str:
        """What the mark says, for the log; whoever may write there is root or this user."""
        try:
            return self.mark.read_text("utf-8", errors="replace")[:80].strip()
        except OSError:
            return ""
