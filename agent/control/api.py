"""The control API: its routes, and who may use them how often. Loaded late, beside the greeting of the printer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.control.answers import error_answer, on_error
from agent.control.routes.console import ConsoleRoutes
from agent.control.routes.history import HistoryRoutes
from agent.control.routes.jobs import JobRoutes
from agent.control.routes.metrics import MetricsRoutes
from agent.control.routes.printer import PrinterRoutes
from agent.control.routes.spools import SpoolRoutes
from agent.control.routes.status import StatusRoutes
from agent.domain.errors import FabunitError
from agent.http.application import Application
from agent.http.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.control.peer import AccessPolicy, CredentialSocket, Peer
    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade
    from agent.http.request import Request
    from agent.http.response import Response

MAX_REQUESTS = 48
"""Requests answered at the same time. Beyond it only the emergency stop is let through."""
MAX_CONNECTIONS = 128
"""Connections beyond this are closed unheard: file descriptors are needed for the printer and the database."""
STOP_PATH = "/v1/stop"


def control_server(
    unit: UnitFacade,
    slots: StreamSlots,
    policy: AccessPolicy,
    peer_reader: Callable[[CredentialSocket], Peer],
) -> HttpServer:
    """Build the server of the control socket."""
    gate = _Gate(build_app(unit, slots), policy, peer_reader)
    return HttpServer(gate, max_connections=MAX_CONNECTIONS)


def build_app(unit: UnitFacade, slots: StreamSlots) -> Application:
    """Put the routes together."""
    routes = [
        *PrinterRoutes(unit, slots).routes(),
        *StatusRoutes(unit, slots).routes(),
        *JobRoutes(unit).routes(),
        *ConsoleRoutes(unit, slots).routes(),
        *HistoryRoutes(unit, slots).routes(),
        *SpoolRoutes(unit).routes(),
        *(MetricsRoutes(unit).routes() if unit.metrics is not None else ()),
    ]
    return Application(routes, on_error, manual="docs/control-api.md")


class _Gate:
    """Lets in whom the policy allows, and only so many at a time; an emergency stop always gets through."""

    def __init__(
        self, app: Application, policy: AccessPolicy, peer_reader: Callable[[CredentialSocket], Peer]
    ) -> None:
        self._app = app
        self._policy = policy
        self._peer_reader = peer_reader
        self._running = 0

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        peer = self._peer(request)
        if not self._policy.allows(peer):
            return error_answer(self._policy.denial(peer))
        if self._running >= MAX_REQUESTS and request.path != STOP_PATH:
            busy = FabunitError(
                f"{MAX_REQUESTS} requests are running already", code="busy", remedy="try again soon"
            )
            busy.http_status = 503
            return error_answer(busy)
        self._running += 1
        request.on_end(self._leave)
        return await self._app(request)

    def _leave(self) -> None:
        self._running -= 1

    def _peer(self, request: Request) -> Peer | None:
        try:
            return self._peer_reader(request.socket)
        except OSError:  # gone already; an unknown peer is not let in
            return None
