"""The control API's server: starlette on uvicorn, on a Unix socket, inside the daemon's event loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.control.answers import error_answer, on_bug, on_fabunit_error, on_http_error
from agent.control.listener import open_listener
from agent.control.peer import AccessPolicy, Peer, read_peer
from agent.control.routes.console import ConsoleRoutes
from agent.control.routes.history import HistoryRoutes
from agent.control.routes.jobs import JobRoutes
from agent.control.routes.printer import PrinterRoutes
from agent.control.routes.status import StatusRoutes
from agent.control.streams import StreamSlots
from agent.domain.errors import FabunitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from agent.control.listener import Listener
    from agent.control.peer import CredentialSocket
    from agent.control.unit import UnitFacade

# Request line and headers of our client are under 1 KiB.
HEADER_LIMIT_BYTES = 16 * 1024
# A connection that asks nothing for this long is closed; the client opens a new one for every call.
IDLE_TIMEOUT_S = 5
# Requests answered at the same time. Beyond it only the emergency stop is let through.
MAX_REQUESTS = 48
# Connections beyond this are closed unheard: file descriptors are needed for the printer and the database.
MAX_CONNECTIONS = 128
BACKLOG = 64
# Part of the daemon's orderly stop; what is not answered by then is cut off.
STOP_BUDGET_S = 2
STOP_PATH = "/v1/stop"


class ControlServer:
    """Serves the control API until stopped. Event loop only; installs no signal handlers.

    `run()` may be called again after it failed or was cancelled, but not after `stop()`.

    `gid` is the group of the socket (None: the process's own group). Its members may use the API.
    """

    name = "control"
    critical = False

    def __init__(
        self,
        unit: UnitFacade,
        socket_path: Path,
        *,
        gid: int | None = None,
        listener: Listener | None = None,
        peer_reader: Callable[[CredentialSocket], Peer] = read_peer,
    ) -> None:
        """`listener`: already bound for the first `run()`, which then owns it."""
        self._unit = unit
        self._path = socket_path
        self._gid = gid
        self._bound = listener
        self._peer_reader = peer_reader
        self._stopping = asyncio.Event()
        self._listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop()` or cancellation, then remove the socket. Raises ListenError."""
        listener, self._bound = self._bound or open_listener(self._path, gid=self._gid), None
        try:
            await self._serve(listener)
        finally:
            self._listening.clear()
            listener.close()

    async def wait_listening(self) -> None:
        """Return when clients can connect."""
        await self._listening.wait()

    def stop(self) -> None:
        """End `run()` in order: streams end, running requests have `STOP_BUDGET_S`. Idempotent."""
        self._stopping.set()

    async def _serve(self, listener: Listener) -> None:
        slots = StreamSlots()
        ending = asyncio.Event()
        policy = AccessPolicy.for_group(self._path.lstat().st_gid)
        app = _Gate(build_app(self._unit, slots), policy)
        server = _EmbeddedServer(_config(app, self._peer_reader), ending, self._listening)
        serving = asyncio.create_task(server.serve(sockets=[listener.socket]), name="control-http")
        closing = asyncio.create_task(self._stopping.wait(), name="control-stop")
        try:
            await asyncio.wait({serving, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.set()
            slots.close()
            closing.cancel()
            await serving


def build_app(unit: UnitFacade, slots: StreamSlots) -> Starlette:
    """Put the routes together."""
    app = Starlette(
        routes=[
            *PrinterRoutes(unit, slots).routes(),
            *StatusRoutes(unit, slots).routes(),
            *JobRoutes(unit).routes(),
            *ConsoleRoutes(unit, slots).routes(),
            *HistoryRoutes(unit, slots).routes(),
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


def _config(app: ASGIApp, peer_reader: Callable[[CredentialSocket], Peer]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(peer_reader),
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


def _protocol(peer_reader: Callable[[CredentialSocket], Peer]) -> type[H11Protocol]:
    class PeerAwareProtocol(H11Protocol):
        """HTTP/1.1 that puts the peer's credentials into every request's scope, under `state`."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > MAX_CONNECTIONS:
                transport.abort()
                return
            self.app_state = {"peer": _read(transport, peer_reader)}
            self.timeout_keep_alive_task = self.loop.call_later(
                IDLE_TIMEOUT_S, self.timeout_keep_alive_handler
            )

    return PeerAwareProtocol


def _read(transport: asyncio.Transport, peer_reader: Callable[[CredentialSocket], Peer]) -> Peer | None:
    try:
        return peer_reader(transport.get_extra_info("socket"))
    except OSError:  # gone already; an unknown peer is not let in
        return None


class _EmbeddedServer(uvicorn.Server):
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
