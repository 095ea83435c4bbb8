"""The HTTP listener on a free loopback port, over a unit in memory."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.control.door import Door
from agent.control.web.app import build
from tests.unit.control.fake_unit import FakeUnit

KEY = "0123456789abcdef0123"
DEADLINE_S = 15.0


@dataclass
class Answer:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """A served unit."""

    unit: FakeUnit
    port: int

    def ask(
        self, method: str, path: str, body: bytes | Any = None, *, key: str | None = KEY, **headers: str
    ) -> Answer:
        """One request on a connection of its own; `headers` with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["X-Api-Key"] = key
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())

    def replay(self, *pieces: bytes) -> Answer:
        """Send a recorded request, each piece in a packet of its own, and read the answer; the connection may stay."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            response = http.client.HTTPResponse(connection)
            response.begin()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())

    def raw(self, data: bytes) -> bytes:
        """Send bytes, read everything until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as connection:
            connection.sendall(data)
            received = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    received += piece
            return bytes(received)


@contextlib.contextmanager
def served_web(unit: FakeUnit, folder: Path, key: str = KEY) -> Iterator[Web]:
    """Serve for the time of a with block."""
    key_file = folder / "api.key"
    key_file.write_text(key + "\n")
    key_file.chmod(0o600)
    ready = threading.Event()
    found: list[tuple[Door, asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        facade = unit.facade()
        door = Door("http", ("127.0.0.1", 0), lambda slots: build(facade, key_file, slots))
        running = asyncio.create_task(door.run())
        await door.wait_listening()
        found.append((door, asyncio.get_running_loop()))
        ready.set()
        await running

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="web")
    thread.start()
    try:
        assert ready.wait(DEADLINE_S), "the listener did not open"
        yield Web(unit, found[0][0].port)
    finally:
        if found:
            found[0][1].call_soon_threadsafe(found[0][0].stop)
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), "the listener did not close"
