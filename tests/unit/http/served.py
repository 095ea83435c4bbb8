"""A handler behind a real server on a socket pair's worth of loopback, driven in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from agent.http.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent.http.request import Request
    from agent.http.response import Response

DEADLINE_S = 10.0


class Client:
    """One connection that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> str:
        """Read one answer's status line and headers."""
        async with asyncio.timeout(DEADLINE_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def answer(self) -> tuple[int, bytes]:
        """Read one answer whose length is known."""
        head = await self.head()
        length = next(
            (line for line in head.lower().split("\r\n") if line.startswith("content-length:")), ":0"
        )
        async with asyncio.timeout(DEADLINE_S):
            body = await self.reader.readexactly(int(length.partition(":")[2]))
        return int(head.split(" ")[1]), body

    async def rest(self) -> bytes:
        """Read until the server hangs up."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[Request], Awaitable[Response]], *, max_connections: int = 8
) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    """Serve on a free port of the loopback; yields what opens a connection."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server, accepts = HttpServer(handler, max_connections=max_connections), asyncio.Event()
    running = asyncio.create_task(server.serve(listening, accepts))
    await accepts.wait()
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        return Client(reader, writer)

    try:
        yield connect
    finally:
        server.stop()
        async with asyncio.timeout(DEADLINE_S):
            await running
        for writer in opened:
            writer.close()
