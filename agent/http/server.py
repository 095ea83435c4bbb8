"""A listener and its connections, inside the daemon's event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from agent.http.connection import READ_BYTES, Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from agent.http.request import Request
    from agent.http.response import Response

BACKLOG = 64
STOP_BUDGET_S = 2.0
"""Part of the daemon's orderly stop; what is not answered by then is cut off."""

_log = structlog.get_logger("http")


class HttpServer:
    """Serves `handler` on one listening socket until `stop`. Event loop only; nothing ticks while nobody asks."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]], *, max_connections: int) -> None:
        """Connections beyond `max_connections` are closed unheard: descriptors are needed elsewhere."""
        self._handler = handler
        self._max_connections = max_connections
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._ending = asyncio.Event()

    async def serve(self, listening: socket.socket, accepts: asyncio.Event) -> None:
        """Take over a bound socket, set `accepts` when clients can connect, end after `stop` or cancellation."""
        server = await asyncio.start_server(self._accept, sock=listening, backlog=BACKLOG, limit=READ_BYTES)
        accepts.set()
        try:
            await self._ending.wait()
        finally:
            server.close()
            await self._end()

    def stop(self) -> None:
        """End `serve`: connections that wait are cut, running requests have `STOP_BUDGET_S`. Idempotent."""
        self._ending.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= self._max_connections:
            writer.transport.abort()
            return
        connection = self._connections[task] = Connection(reader, writer, self._handler)
        try:
            await connection.serve()
        except OSError:  # gone, or silent for too long (TimeoutError): nobody is left to tell
            writer.transport.abort()
        except Exception:  # noqa: BLE001 - the top of a connection: the others go on
            _log.exception("connection failed")
            writer.transport.abort()
        finally:
            del self._connections[task]
            writer.close()

    async def _end(self) -> None:
        for task, connection in self._connections.items():
            if connection.is_idle:
                task.cancel()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=STOP_BUDGET_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
