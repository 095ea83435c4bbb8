"""The control API over HTTP: starlette routes on uvicorn. Loaded late, beside the greeting of the printer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.control.answers import error_answer, on_bug, on_fabunit_error, on_http_error
from agent.control.routes.console import ConsoleRoutes
from agent.control.routes.history import HistoryRoutes
from agent.control.routes.jobs import JobRoutes
from agent.control.routes.metrics import MetricsRoutes
from agent.control.routes.printer import PrinterRoutes
from agent.control.routes.status import StatusRoutes
from agent.domain.errors import FabunitError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from agent.control.peer import AccessPolicy, CredentialSocket, Peer
    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade

HEADER_LIMIT_BYTES = 16 * 1024
"""Request line and headers of our client are under 1 KiB."""
IDLE_TIMEOUT_S = 5
"""A connection that asks nothing for this long is closed; the client opens a new one for every call."""
MAX_REQUESTS = 48
"""Requests answered at the same time. Beyond it only the emergency stop is let through."""
MAX_CONNECTIONS = 128
"""Connections beyond this are closed unheard: file descriptors are needed for the printer and the database."""
BACKLOG = 64
STOP_BUDGET_S = 2
"""Part of the daemon's orderly stop; what is not answered by then is cut off."""
STOP_PATH = "/v1/stop"


def embedded_server(
    unit: UnitFacade,
    slots: StreamSlots,
    policy: AccessPolicy,
    peer_reader: Callable[[CredentialSocket], Peer],
    *,
    ending: asyncio.Event,
    listening: asyncio.Event,
) -> uvicorn.Server:
    """A server that sets `listening` when it accepts connections and ends after `ending` is set."""
    app = _Gate(build_app(unit, slots), policy)
    config = server_config(app, lambda transport: {"peer": _read(transport, peer_reader)}, MAX_CONNECTIONS)
    return EmbeddedServer(config, ending, listening)


def build_app(unit: UnitFacade, slots: StreamSlots) -> Starlette:
    """Put the routes together."""
    app = Starlette(
        routes=[
            *PrinterRoutes(unit, slots).routes(),
            *StatusRoutes(unit, slots).routes(),
            *JobRoutes(unit).routes(),
            *ConsoleRoutes(unit, slots).routes(),
            *HistoryRoutes(unit, slots).routes(),
            *(MetricsRoutes(unit).routes() if unit.metrics is not None else ()),
        ],
        exception_handlers={FabunitError: on_fabunit_error, HTTPException: on_http_error, Exception: on_bug},
    )
    app.router.redirect_slashes = False  # one name per path
    return app


class _Gate:
    """Lets in whom the policy allows, and only so many at a time; an emergency stop always gets through."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self._app = app
        self._policy = policy
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer: Peer | None = scope["state"].get("peer")
        if not self._policy.allows(peer):
            await error_answer(self._policy.denial(peer))(scope, receive, send)
            return
        if self._running >= MAX_REQUESTS and scope["path"] != STOP_PATH:
            busy = FabunitError(
                f"{MAX_REQUESTS} requests are running already", code="busy", remedy="try again soon"
            )
            busy.http_status = 503
            await error_answer(busy)(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1


def server_config(
    app: ASGIApp, connection_state: Callable[[asyncio.Transport], dict[str, Any]], max_connections: int
) -> uvicorn.Config:
    """Configure uvicorn as a guest; what `connection_state` returns is in every request's scope, under `state`."""
    return uvicorn.Config(
        app,
        http=_protocol(connection_state, max_connections),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_TIMEOUT_S,
        timeout_graceful_shutdown=STOP_BUDGET_S,
    )


def _protocol(
    connection_state: Callable[[asyncio.Transport], dict[str, Any]], max_connections: int
) -> type[H11Protocol]:
    class GuardedProtocol(H11Protocol):
        """HTTP/1.1 with a limit of connections and of the silence before the first request."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                transport.abort()
                return
            self.app_state = connection_state(transport)
            self.timeout_keep_alive_task = self.loop.call_later(
                IDLE_TIMEOUT_S, self.timeout_keep_alive_handler
            )

    return GuardedProtocol


def _read(transport: asyncio.Transport, peer_reader: Callable[[CredentialSocket], Peer]) -> Peer | None:
    try:
        return peer_reader(transport.get_extra_info("socket"))
    except OSError:  # gone already; an unknown peer is not let in
        return None


class EmbeddedServer(uvicorn.Server):
    """uvicorn as a guest: signals belong to the daemon, and nothing ticks while nobody asks."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event, listening: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signal handlers alone."""
        yield

    async def main_loop(self) -> None:
        """Wait for the stop; uvicorn's own loop would wake up ten times a second."""
        await self.on_tick(0)
        self._listening.set()
        await self._ending.wait()

    def handle_exit(self, *_: Any) -> None:
        """Ignore signals: never installed, never called."""
