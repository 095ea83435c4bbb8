"""`/v1/jobs`: the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.control.answers import answer
from agent.control.body import MoveBody, SalvageBody, job_request, path_id, query_flag, read_chunks, read_json
from agent.control.documents import counts_by_state, job_details, job_document
from agent.domain.errors import UsageError
from agent.http.application import Route
from agent.jobs.placement import FIRST, LAST, At

if TYPE_CHECKING:
    from agent.control.unit import UnitFacade
    from agent.http.request import Request
    from agent.http.response import Response
    from agent.jobs.placement import Place


class JobRoutes:
    """Turns requests into calls on the queue."""

    def __init__(self, unit: UnitFacade) -> None:
        self._unit = unit

    def routes(self) -> list[Route]:
        """List the paths."""
        return [
            Route("/v1/jobs", self.listing, methods=["GET"]),
            Route("/v1/jobs", self.submit, methods=["POST"]),
            Route("/v1/jobs/{id}", self.show, methods=["GET"]),
            Route("/v1/jobs/{id}/start", self.start, methods=["POST"]),
            Route("/v1/jobs/{id}/hold", self.hold, methods=["POST"]),
            Route("/v1/jobs/{id}/release", self.release, methods=["POST"]),
            Route("/v1/jobs/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/jobs/{id}/retry", self.retry, methods=["POST"]),
            Route("/v1/jobs/{id}/move", self.move, methods=["POST"]),
            Route("/v1/jobs/{id}/salvage", self.proposal, methods=["GET"]),
            Route("/v1/jobs/{id}/salvage", self.salvage, methods=["POST"]),
        ]

    async def listing(self, request: Request) -> Response:
        """Answer the jobs in queue order."""
        jobs = await self._unit.queue.list(include_over=query_flag(request, "all"))
        return answer({"jobs": [job_document(job) for job in jobs], "counts": dict(counts_by_state(jobs))})

    async def submit(self, request: Request) -> Response:
        """Take a file as a new job; the body is streamed to the store."""
        order = job_request(request)
        chunks = read_chunks(request, self._unit.max_upload_bytes)
        job = await self._unit.intake.submit(order, chunks)
        return answer(job_document(job), 201)

    async def show(self, request: Request) -> Response:
        """Answer one job, with what became of its mesh."""
        job = await self._unit.queue.get(path_id(request, "job"))
        return answer(job_details(job, await self._unit.mesh_of(job)))

    async def start(self, request: Request) -> Response:
        """Print this ready job next, without waiting for the queue's own order."""
        return answer(job_document(await self._unit.start_job(path_id(request, "job"))))

    async def hold(self, request: Request) -> Response:
        """Keep the job from printing."""
        return answer(job_document(await self._unit.queue.hold(path_id(request, "job"))))

    async def release(self, request: Request) -> Response:
        """Let a held job go on."""
        return answer(job_document(await self._unit.queue.release(path_id(request, "job"))))

    async def cancel(self, request: Request) -> Response:
        """End the job."""
        return answer(job_document(await self._unit.queue.cancel(path_id(request, "job"))))

    async def retry(self, request: Request) -> Response:
        """Start a job that is over again."""
        return answer(job_document(await self._unit.queue.retry(path_id(request, "job"))))

    async def move(self, request: Request) -> Response:
        """Change the order of the queue."""
        job_id = path_id(request, "job")
        place = _place(await read_json(request, MoveBody))
        return answer(job_document(await self._unit.queue.move(job_id, place)))

    async def proposal(self, request: Request) -> Response:
        """Answer how a print whose board was reset could go on."""
        return answer(await self._unit.salvage_proposal(path_id(request, "job")))

    async def salvage(self, request: Request) -> Response:
        """Have it go on: a person has looked at the part."""
        job_id = path_id(request, "job")
        layer = (await read_json(request, SalvageBody)).layer
        return answer(job_document(await self._unit.salvage_job(job_id, layer)))


def _place(body: MoveBody) -> Place:
    if (body.before is None) == (body.to is None):
        raise UsageError("give either `before` (a job id) or `to` (first, last or a place from 1)")
    if body.to == "first":
        return At(to=FIRST)
    if body.to == "last":
        return At(to=LAST)
    return At(to=body.to, before=body.before)
