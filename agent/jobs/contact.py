"""Notes, while a print runs, that the printer was heard of: how a later daemon knows how long nobody was there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from agent.domain.printer import PrinterSnapshot, PrinterState
from agent.domain.prints import LastContact
from agent.storage.contact import ContactFiles

LOOK_EVERY_S = 1.0
NOTE_EVERY_S = 10.0
"""A gap is taken for this much longer than it was, at most: six times less than the default that matters."""
_TALKING = frozenset({
    PrinterState.PRINTING, PrinterState.PAUSING, PrinterState.PAUSED, PrinterState.RESUMING, PrinterState.ATTENTION,
})  # fmt: skip

_log = structlog.get_logger(__name__)


class ContactKeeper:
    """Keeps the notes of the running print; event loop only. A note that cannot be written is logged, no more."""

    def __init__(self, files: ContactFiles, look: Callable[[], PrinterSnapshot]) -> None:
        self._files = files
        self._look = look
        self._seen_s = float("-inf")
        self._noted_s = float("-inf")
        self._is_failing = False

    async def begin(self, print_id: str) -> None:
        """A print starts at a printer that has just answered."""
        await self._note(print_id, 0, last=True)

    async def keep(self, print_id: str) -> None:
        """Note until cancelled."""
        while True:
            view = self._look()
            if view.state in _TALKING and view.progress is not None:
                self._seen_s = time.monotonic()
                if self._seen_s - self._noted_s >= NOTE_EVERY_S:
                    await self._note(print_id, view.progress.line, last=False)
            await asyncio.sleep(LOOK_EVERY_S)

    async def suspended(self, print_id: str, line: int) -> None:
        """The daemon stops in order: the next one may find only what is on disk."""
        if time.monotonic() - self._seen_s < 3 * LOOK_EVERY_S:
            await self._note(print_id, line, last=True)

    async def last(self, print_id: str) -> LastContact | None:
        """What an earlier daemon has left about this print."""
        note = await asyncio.to_thread(self._files.read, print_id)
        if note is None:
            return None
        return LastContact(note.line, self._files.age_s(note), time.monotonic())

    async def _note(self, print_id: str, line: int, *, last: bool) -> None:
        try:
            await asyncio.to_thread(self._files.note, print_id, line, last=last)
        except OSError as error:
            if not self._is_failing:
                _log.warning("contact_not_noted", detail=str(error))
            self._is_failing = True
        else:
            self._is_failing = False
            self._noted_s = time.monotonic()
