"""`/api/…`: what slicers call when they send to OctoPrint. A file becomes a job; nothing goes around gate and bed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from agent.control.answers import answer
from agent.control.body import Body, read_json
from agent.control.web import octoprint_documents as documents
from agent.control.web.access import refused
from agent.control.web.upload import receive
from agent.domain.errors import FabunitError, NotFoundError, RefusedError
from agent.domain.job import Job, JobState, Reason
from agent.http.application import Route
from agent.http.response import Response
from agent.storage.names import display_name

if TYPE_CHECKING:
    from agent.control.unit import UnitFacade
    from agent.control.web.access import UploadSlots
    from agent.http.request import Request

UPLOAD_PATH = "/api/files/local"
_QUEUE_REMEDY = (
    "a print begins when it is its turn and the bed is clear: see the unit's page, or `fabunit status`"
)


class JobCommand(Body):
    """`POST /api/job`."""

    command: Literal["start", "restart", "pause", "cancel"]
    action: Literal["pause", "resume", "toggle"] = "toggle"


class ConnectionCommand(Body):
    """`POST /api/connection`: the rest of OctoPrint's arguments is the configuration's business."""

    command: Literal["connect", "disconnect", "fake_ack"]
    port: str | None = None
    baudrate: int | None = None
    printerProfile: str | None = None  # noqa: N815 - OctoPrint's spelling
    save: bool | None = None
    autoconnect: bool | None = None


class FileCommand(Body):
    """`POST /api/files/local/{name}`."""

    command: Literal["select", "unselect"]
    print: bool = False


class OctoPrintRoutes:
    """Turns slicers' requests into calls on the unit."""

    def __init__(self, unit: UnitFacade, slots: UploadSlots) -> None:
        self._unit = unit
        self._slots = slots

    def routes(self) -> list[Route]:
        """List the paths."""
        return [
            Route("/api/version", self.version, methods=["GET"]),
            Route("/api/server", self.version, methods=["GET"]),
            Route("/api/login", self.login, methods=["POST"]),
            Route("/api/settings", self.settings, methods=["GET"]),
            Route("/api/printerprofiles", self.profiles, methods=["GET"]),
            Route("/api/connection", self.connection, methods=["GET"]),
            Route("/api/connection", self.connect, methods=["POST"]),
            Route("/api/printer", self.printer, methods=["GET"]),
            Route("/api/printer/{rest:path}", self.direct, methods=["GET", "POST"]),
            Route("/api/job", self.job, methods=["GET"]),
            Route("/api/job", self.command, methods=["POST"]),
            Route("/api/files", self.files, methods=["GET"]),
            Route(UPLOAD_PATH, self.files, methods=["GET"]),
            Route(UPLOAD_PATH, self.upload, methods=["POST"]),
            Route("/api/files/sdcard", self.sdcard, methods=["POST"]),
            Route("/api/files/local/{name:path}", self.file, methods=["GET"]),
            Route("/api/files/local/{name:path}", self.select, methods=["POST"]),
        ]

    async def version(self, _request: Request) -> Response:
        """Answer a connection test."""
        return answer(documents.VERSION)

    async def login(self, _request: Request) -> Response:
        """Answer Cura, which asks whose key it has."""
        return answer({**documents.LOGIN, "apikey": None})

    async def settings(self, _request: Request) -> Response:
        """Answer the few settings a slicer looks for."""
        return answer(documents.settings(self._unit.identity.name))

    async def profiles(self, _request: Request) -> Response:
        """Answer one printer."""
        return answer(documents.profiles(self._unit.identity.name))

    async def connection(self, _request: Request) -> Response:
        """Answer where the printer is connected."""
        return answer(documents.connection(self._unit.printer.snapshot()))

    async def connect(self, request: Request) -> Response:
        """Connect to the configured port; a port named from outside is not taken."""
        body = await read_json(request, ConnectionCommand)
        if body.command != "connect":
            raise refused(
                "the printer is not disconnected from here", "on the unit: `fabunit printer disconnect`"
            )
        await self._unit.printer.connect(None)
        return Response(status=204)

    async def printer(self, _request: Request) -> Response:
        """Answer state and temperatures; 409 where the printer is away, as OctoPrint does."""
        seen = self._unit.printer.snapshot()
        if documents.is_away(seen):
            raise RefusedError(f"the printer is {seen.state}: {seen.detail}", code="printer_away")
        return answer(documents.printer(seen))

    async def direct(self, _request: Request) -> Response:
        """Refuse to move or heat the machine from a slicer."""
        raise refused("the printer is not driven directly from here", "on the unit: `fabunit console`")

    async def job(self, _request: Request) -> Response:
        """Answer what prints."""
        jobs = await self._unit.queue.list(include_over=False)
        running = next((job for job in jobs if job.state.is_active), None)
        return answer(documents.job(running, self._unit.printer.snapshot()))

    async def command(self, request: Request) -> Response:
        """Pause, resume or cancel the running print; never start one past the queue."""
        body = await read_json(request, JobCommand)
        if body.command in ("start", "restart"):
            raise RefusedError("prints are not started from here", code="queued", remedy=_QUEUE_REMEDY)
        if body.command == "cancel":
            await self._cancel()
        elif body.action == "resume" or (body.action == "toggle" and self._is_paused()):
            await self._unit.printer.resume()
        else:
            await self._unit.printer.pause()
        return Response(status=204)

    async def files(self, _request: Request) -> Response:
        """Answer the files of waiting jobs."""
        return answer(documents.files(await self._unit.queue.list(include_over=False)))

    async def file(self, request: Request) -> Response:
        """Answer one of them."""
        return answer(documents.entry(await self._find(request)))

    async def upload(self, request: Request) -> Response:
        """Take a file as a job."""
        with self._slots:
            done = await receive(request, self._unit)
        document = documents.uploaded(done.job, is_print=done.is_print)
        response = answer(document, 201)
        host = request.headers.get("host", "")
        response.headers["location"] = f"http://{host}/api/files/local/{quote(done.job.name, safe='')}"
        return response

    async def sdcard(self, _request: Request) -> Response:
        """Refuse the printer's SD card: nothing checks what is on it."""
        raise refused("files are not put on the printer's SD card", "upload to `local`")

    async def select(self, request: Request) -> Response:
        """Let a waiting file print, as Cura asks after its upload."""
        job = await self._find(request)
        body = await read_json(request, FileCommand)
        if body.command == "select" and body.print and job.state is JobState.HELD:
            await self._unit.queue.release(job.job_id)
        return Response(status=204)

    async def _cancel(self) -> None:
        """Put the wish on record first: it stays cancelled if the daemon dies now."""
        jobs = await self._unit.queue.list(include_over=False)
        running = next((job for job in jobs if job.state.is_active), None)
        if running is not None:
            await self._unit.queue.cancel(running.job_id)
        else:
            await self._unit.printer.cancel(Reason.USER)

    def _is_paused(self) -> bool:
        return self._unit.printer.snapshot().state in ("paused", "attention")

    async def _find(self, request: Request) -> Job:
        """Return the newest waiting job of that file name. Raises NotFoundError."""
        name = display_name(str(request.path_params["name"]))
        jobs = [job for job in await self._unit.queue.list(include_over=False) if job.name == name]
        if not jobs:
            raise NotFoundError(f"no waiting job has the file {name!a}")
        return max(jobs, key=lambda job: job.created_ms)


def error_text(error: FabunitError) -> str:
    """Write a failure as one sentence for a person."""
    return "; ".join(part for part in (error.message, error.remedy) if part)


def error_document(error: FabunitError) -> bytes:
    """Write a failure as OctoPrint does."""
    return json.dumps({"error": error_text(error), "code": error.code}).encode()
