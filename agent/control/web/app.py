"""What the HTTP listener serves, and the gate in front of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.control.answers import error_answer
from agent.control.routes.jobs import JobRoutes
from agent.control.routes.printer import PrinterRoutes
from agent.control.routes.status import StatusRoutes
from agent.control.web.access import (
    COOKIE,
    Keyring,
    LockedError,
    RateLimit,
    TooManyError,
    UploadSlots,
    read_key,
)
from agent.control.web.octoprint import (
    UPLOAD_PATH,
    OctoPrintRoutes,
    error_document,
    error_text,
)
from agent.control.web.page import PUBLIC, PageRoutes
from agent.domain.errors import FabunitError
from agent.http.application import Application
from agent.http.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade
    from agent.http.request import Request

MAX_REQUESTS = 24
"""Answered at the same time; an emergency stop comes on top."""
MAX_UPLOADS = 2
"""More would only share the one disk."""
REQUEST_BURST, REQUESTS_PER_S = 200, 20.0
"""A page asks a few times a second, a slicer once; a script that asks more often is held up."""
FAILURE_BURST, FAILURES_PER_S = 10, 1 / 30
"""Ten wrong keys, then two a minute: guessing 16 characters takes longer than the printer lives."""
STOP_PATH = "/v1/stop"
# They put the body of a failed request into their window as it is: people read a sentence there, not JSON. Seen in
# PrusaSlicer 2.5's own window; OrcaSlicer does the same, Cura's plug-in for plain text only, the first 100 characters.
_SHOW_TEXT = ("PrusaSlicer/", "OrcaSlicer/", "SuperSlicer/", "Cura/")
# What a person does from the page. Raw G-code, heating, moving and ports stay with the control socket.
_SHARED = {
    "/v1/status": {"GET"},
    "/v1/status/stream": {"GET"},
    "/v1/jobs": {"GET"},
    "/v1/jobs/{id}": {"GET"},
    "/v1/jobs/{id}/start": {"POST"},
    "/v1/jobs/{id}/hold": {"POST"},
    "/v1/jobs/{id}/release": {"POST"},
    "/v1/jobs/{id}/cancel": {"POST"},
    "/v1/jobs/{id}/retry": {"POST"},
    "/v1/jobs/{id}/move": {"POST"},
    STOP_PATH: {"POST"},
    "/v1/print/pause": {"POST"},
    "/v1/print/resume": {"POST"},
    "/v1/print/cancel": {"POST"},
    "/v1/prompt": {"POST"},
    "/v1/bed/clear": {"POST"},
}
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def build(unit: UnitFacade, key_file: Path, slots: StreamSlots) -> Gate:
    """Put the listener's application together. Raises ConfigError `api_key`."""
    keyring = Keyring(read_key(key_file))
    uploads = UploadSlots(MAX_UPLOADS)
    shared = [
        route
        for group in (StatusRoutes(unit, slots), JobRoutes(unit), PrinterRoutes(unit, slots))
        for route in group.routes()
        if not _SHARED.get(route.path, set()).isdisjoint(route.methods)
    ]
    routes = [*PageRoutes(unit, keyring).routes(), *OctoPrintRoutes(unit, uploads).routes(), *shared]
    return Gate(Application(routes, _on_error, manual="docs/http.md"), keyring)


class Gate:
    """Every request passes here: how often, who, and the headers of every answer."""

    def __init__(
        self, app: Application, keyring: Keyring, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._now_s = now_s
        self._requests = RateLimit(REQUEST_BURST, REQUESTS_PER_S, what="requests")
        self._failures = RateLimit(FAILURE_BURST, FAILURES_PER_S, what="wrong keys")
        self._running = 0

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            self._check(request)
        except FabunitError as error:
            response = _on_error(request, error)
        else:
            self._running += 1
            request.on_end(self._leave)
            response = await self._app(request)
        response.headers.update(_HEADERS)
        return response

    def _leave(self) -> None:
        self._running -= 1

    def _check(self, request: Request) -> None:
        client = request.client or "unknown"
        now_s, path, headers = self._now_s(), request.path, request.headers
        is_stop = path == STOP_PATH
        if not is_stop:
            self._requests.take(client, now_s)
            if self._running >= MAX_REQUESTS:
                raise TooManyError(f"{MAX_REQUESTS} requests are running already", remedy="try again soon")
        if (request.method, path) in PUBLIC:
            if path == "/login":
                self._failures.take(client, now_s)
            return
        self._failures.demand(client, now_s)
        try:
            self._keyring.check(request.method, headers, _cookie(headers.get("cookie", "")))
        except LockedError as error:
            if error.code == "unauthorised":
                self._failures.take(client, now_s)
            raise


def _cookie(header: str) -> str | None:
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def _on_error(request: Request, error: FabunitError) -> Response:
    """Write a failure as the side that asked reads it. The body may not have been read: the connection closes."""
    if not request.path.startswith("/api/"):
        return error_answer(error)
    headers = {"connection": "close"}
    if request.headers.get("user-agent", "").startswith(_SHOW_TEXT):
        # For a refused upload Cura reads 409 as "a file of this name is printing", and hides the reason.
        is_refused_upload = request.path == UPLOAD_PATH and error.http_status == 409
        status = 503 if is_refused_upload else error.http_status
        return Response(error_text(error).encode(), status, headers, "text/plain")
    return Response(error_document(error), error.http_status, headers, "application/json")
