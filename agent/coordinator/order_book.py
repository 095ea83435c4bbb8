"""The documents behind jobs: where a file is, and what an order allows."""

from __future__ import annotations

from agent.coordinator import orders
from agent.coordinator.documents import ArtefactDocument, JobDocument, parse_job
from agent.coordinator.requirements import exceeded
from agent.domain.artefact import Prepared
from agent.domain.job import Job
from agent.storage import inbox as inbox_rows
from agent.storage.database import Database


class OrderBook:
    """Reads orders that were taken; event loop only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def artefact(self, job: Job) -> ArtefactDocument | None:
        """Return where the file of a job is, None for jobs without a document."""
        document = await self.document(job)
        return None if document is None else document.artefact

    async def document(self, job: Job) -> JobDocument | None:
        """Return the order behind a job, None for a local one."""
        if job.source != orders.SOURCE:
            return None
        entry = await self._database.read(lambda connection: inbox_rows.get(connection, job.job_id, job.rev))
        return None if entry is None or entry.document is None else parse_job(entry.document.encode())

    async def check_limits(self, job: Job, prepared: Prepared) -> None:
        """Raise ArtefactError `job_limit` when the checked file exceeds what its order allows."""
        document = await self.document(job)
        error = None if document is None else exceeded(document, prepared)
        if error is not None:
            raise error
