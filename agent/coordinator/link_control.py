"""What commands may ask of the link itself: leases, rebirth, resending, and how it sends."""

from __future__ import annotations

import time
from typing import Any

import structlog

from agent.coordinator.link import Link
from agent.coordinator.recorder import Recorder
from agent.coordinator.records import EVENTS_STREAM, TELEMETRY_STREAM
from agent.coordinator.shelf import Shelf
from agent.storage import meta
from agent.storage.database import Connection, Database

# Long enough to walk along a shelf of printers.
IDENTIFY_S = 60.0
_BLOCK_KEY = "link_block_s"
_BATCH_KEY = "link_batch"
MAX_BATCH = 200

_log = structlog.get_logger(__name__)


class LinkControl:
    """See `agent.coordinator.actions.LinkActions`; event loop only."""

    def __init__(self, link: Link, shelf: Shelf, recorder: Recorder, database: Database) -> None:
        self._link = link
        self._shelf = shelf
        self._recorder = recorder
        self._database = database
        self._batch = MAX_BATCH
        self._identify_until_s = 0.0

    async def open(self) -> None:
        """Take up what was configured before."""

        def read(connection: Connection) -> tuple[str | None, str | None]:
            return meta.get(connection, _BLOCK_KEY), meta.get(connection, _BATCH_KEY)

        block_s, batch = await self._database.read(read)
        self._recorder.block_s = float(block_s) if block_s else self._recorder.block_s
        self._batch = int(batch) if batch else self._batch
        self._link.limit_batch(self._batch)

    @property
    def is_identifying(self) -> bool:
        """The coordinator wants somebody to see which unit this is."""
        return time.monotonic() < self._identify_until_s

    def watch(self, seconds: float) -> float:
        """Open or renew the lease for live samples; returns the seconds granted."""
        return self._link.watch(seconds)

    def rebirth(self) -> None:
        """Send presence and description again."""
        self._link.rebirth()

    def resend(self, epoch: str, after: int) -> int:
        """Send records behind a number again; telemetry of any epoch from the oldest that is left."""
        if epoch != self._shelf.epoch:
            self._link.rewind(TELEMETRY_STREAM, 0)
            return 0
        self._shelf.forget_above(after)
        self._link.rewind(EVENTS_STREAM, after)
        return after

    async def configure(self, block_s: float | None, batch: int | None) -> dict[str, Any]:
        """Change how telemetry and records are sent."""

        def write(connection: Connection) -> None:
            if block_s is not None:
                meta.put(connection, _BLOCK_KEY, str(block_s))
            if batch is not None:
                meta.put(connection, _BATCH_KEY, str(batch))

        await self._database.run(write)
        self._recorder.block_s = block_s or self._recorder.block_s
        self._batch = batch or self._batch
        self._link.limit_batch(self._batch)
        return {"block_s": self._recorder.block_s, "batch": self._batch}

    def identify(self) -> None:
        """Show this unit for a minute: in the log, and in the warnings of `fabunit status`."""
        self._identify_until_s = time.monotonic() + IDENTIFY_S
        _log.warning("identify", detail="the coordinator asks which unit this is")
