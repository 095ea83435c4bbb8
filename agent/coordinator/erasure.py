"""Files of orders that want no copy to remain: deleted once the job is over (a designer's confidentiality)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from agent.domain.events import EventDraft, EventType, Stamp
from agent.jobs import remains
from agent.jobs.queue import Queue
from agent.storage import events as event_rows
from agent.storage import inbox as inbox_rows
from agent.storage import jobs as job_rows
from agent.storage import meta
from agent.storage.artefacts import ArtefactStore
from agent.storage.database import Connection, Database

_UNFOLDED = "erased_in_wal"
"""In table `meta`: the text of an erased order may still be in the WAL."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Doomed:
    job_id: str
    rev: int
    artefact: str | None
    prepared: str | None


class Eraser:
    """Deletes the file, everything that was made of it, and the order's text; event loop only.

    Files that an unfinished job still needs stay until that one is over. Deleting unlinks: what a flash card keeps of
    it inside is out of reach, so that designs which must not be readable there are to be sent encrypted.

    `forget_in_copy` is told which order's text is gone from the database, so that no copy of it keeps that.
    """

    def __init__(
        self,
        queue: Queue,
        database: Database,
        store: ArtefactStore,
        state_dir: Path,
        forget_in_copy: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self._state_dir = state_dir
        self._queue = queue
        self._database = database
        self._store = store
        self._forget_in_copy = forget_in_copy

    async def sweep(self) -> None:
        """Erase what is due. Raises StorageError, OSError."""
        due, is_unfolded = await self._database.read(
            lambda connection: (_doomed(connection), _is_unfolded(connection))
        )
        for doomed in due:
            await asyncio.to_thread(self._unlink, doomed)
            await self._queue.transact(partial(_forget, doomed))
            _log.info("artefact_erased", job_id=doomed.job_id, rev=doomed.rev)
        if due or is_unfolded:
            # The WAL keeps what a transaction overwrote; the mark is there after a kill before this line.
            await self._database.fold()
            await self._database.run(lambda connection: meta.put(connection, _UNFOLDED, ""))
        for doomed in due:
            await self._forget_in_copy(doomed.job_id, doomed.rev)

    def _unlink(self, doomed: _Doomed) -> None:
        if doomed.artefact is not None:
            self._store.path(doomed.artefact).unlink(missing_ok=True)
            remains.erase(self._state_dir, self._store.prepared_dir, doomed.artefact)
        if doomed.prepared is not None:
            (self._store.prepared_dir / f"{doomed.prepared}.gcode").unlink(missing_ok=True)


def _doomed(connection: Connection) -> list[_Doomed]:
    needed = {
        digest
        for job in job_rows.unfinished(connection)
        for digest in (job.artefact_sha256, job.prepared_sha256)
    }
    found = []
    for entry in inbox_rows.to_erase(connection):
        job = job_rows.get(connection, entry.job_id)
        if job is None:
            continue
        artefact = None if job.artefact_sha256 in needed else job.artefact_sha256
        prepared = None if job.prepared_sha256 in needed else job.prepared_sha256
        found.append(_Doomed(entry.job_id, entry.rev, artefact, prepared))
    return found


def _is_unfolded(connection: Connection) -> bool:
    return bool(meta.get(connection, _UNFOLDED))


def _forget(doomed: _Doomed, connection: Connection, stamp: Stamp) -> None:
    inbox_rows.forget_document(connection, doomed.job_id, doomed.rev)
    meta.put(connection, _UNFOLDED, "yes")
    detail = (
        "its files were erased" if doomed.artefact else "its order was erased; another job needs the file"
    )
    data = {"event": "erased"}
    draft = EventDraft(EventType.JOB, detail, doomed.job_id, doomed.rev, data=data)
    event_rows.append(connection, draft, stamp)
