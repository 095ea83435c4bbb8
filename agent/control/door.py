"""A TCP listener inside the daemon's event loop, for what may be opened to the network. A side service."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import structlog

from agent.control.listener import ListenError
from agent.control.streams import StreamSlots
from agent.domain.errors import FabunitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.http.request import Request
    from agent.http.response import Response

if TYPE_CHECKING:
    Handlers = Callable[[StreamSlots], Callable[[Request], Awaitable[Response]]]

# People and slicers of one workshop; descriptors are needed for the printer and the database.
MAX_CONNECTIONS = 64
# People watching over the network; the local streams have slots of their own.
MAX_STREAMS = 8

_log = structlog.get_logger("door")


class Door:
    """Listens on one address and serves what `build` makes; `run` may be called again after it failed."""

    def __init__(self, name: str, address: tuple[str, int], build: Handlers) -> None:
        """`build` is called in a thread: it may import what it needs, and raise FabunitError to stay shut."""
        self.name = name
        self._address = address
        self._build = build
        self._stopping = asyncio.Event()
        self._listening = asyncio.Event()
        self._failure: FabunitError | None = None
        self.port = 0

    async def run(self) -> None:
        """Serve until `stop` or cancellation. Raises FabunitError, which `warnings` tells, too."""
        try:
            await self._serve()
        except FabunitError as error:
            self._failure = error
            raise

    async def wait_listening(self) -> None:
        """Return when clients can connect."""
        await self._listening.wait()

    def stop(self) -> None:
        """End `run` in order. Idempotent."""
        self._stopping.set()

    def warnings(self) -> list[str]:
        """Return why nobody can come in."""
        if self._failure is None:
            return []
        return [f"{self.name} does not listen: {self._failure.message}; {self._failure.remedy}"]

    async def _serve(self) -> None:
        from agent.http.server import HttpServer  # noqa: PLC0415 - loaded by the control server

        slots = StreamSlots(MAX_STREAMS)
        server = HttpServer(await asyncio.to_thread(self._build, slots), max_connections=MAX_CONNECTIONS)
        listening = self._open()
        self._failure, self.port = None, listening.getsockname()[1]
        _log.info("listening", door=self.name, host=self._address[0], port=self.port)
        serving = asyncio.create_task(server.serve(listening, self._listening), name=f"{self.name}-http")
        closing = asyncio.create_task(self._stopping.wait(), name=f"{self.name}-stop")
        try:
            await asyncio.wait({serving, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listening.clear()
            server.stop()
            slots.close()
            closing.cancel()
            await serving
            listening.close()

    def _open(self) -> socket.socket:
        host, port = self._address
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            opened = socket.socket(family, kind, proto)
            try:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(address)
            except BaseException:
                opened.close()
                raise
        except OSError as error:
            raise ListenError(
                f"{host}:{port} cannot be listened on: {error.strerror or error}",
                remedy=f"choose another address in the configuration; `ss -ltnp sport = :{port}` shows who has it",
            ) from error
        opened.settimeout(0)
        return opened
