"""The printers this unit has met: read once at the start, written when something new was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from agent.domain.errors import FabunitError
from agent.printer.learned import LearnedPrinter


class LearnedRecords(Protocol):
    """Where records are kept; each carries its own `port_id`. Raises StorageError."""

    async def records(self) -> Sequence[Mapping[str, Any]]:
        """Return all records, the one that was saved last first."""
        ...

    async def save(self, port_id: str, learned: Mapping[str, Any]) -> None:
        """Insert or replace the record of a port."""
        ...


class PrinterMemory:
    """Records by port. `open` and `save` belong to the event loop, the rest to whoever connects at the time.

    A disk that fails costs what would have been learned, never a connection.
    """

    def __init__(self, records: LearnedRecords | None = None) -> None:
        """Without `records` nothing outlives the process."""
        self.last: LearnedPrinter | None = None
        self._records = records
        self._known: dict[str, LearnedPrinter] = {}
        self._saved: LearnedPrinter | None = None
        self._opened = False
        self._log = structlog.get_logger("printer")

    async def open(self) -> None:
        """Read what earlier daemons have learned; does nothing the second time."""
        if self._opened or self._records is None:
            return
        self._opened = True
        try:
            documents = await self._records.records()
        except FabunitError as error:
            self._log.warning("learned_printers_not_read", detail=error.message)
            return
        found = [learned for d in documents if (learned := LearnedPrinter.from_json(d)) is not None]
        self._known = {learned.port_id: learned for learned in reversed(found)}
        self.last = self._saved = found[0] if found else None

    def of(self, port_id: str) -> LearnedPrinter | None:
        """What is known of the printer at this port."""
        return self._known.get(port_id)

    def learn(self, learned: LearnedPrinter) -> None:
        """Know this from now on; `save` writes it."""
        self._known[learned.port_id] = self.last = learned

    def forget_last(self) -> None:
        """Look for a printer as if none had been met: the maker has named another port."""
        self.last = None

    async def save(self) -> None:
        """Write the last printer, where that is news."""
        learned = self.last
        if self._records is None or learned is None or learned == self._saved:
            return
        try:
            await self._records.save(learned.port_id, learned.to_json())
        except FabunitError as error:
            self._log.warning("learned_printer_not_saved", detail=error.message)
            return
        self._saved = learned
