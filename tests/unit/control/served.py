"""A fake unit served on a real Unix socket by a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent.control.client import ControlClient
from agent.control.peer import Peer, read_peer
from agent.control.server import ControlServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.control.peer import CredentialSocket
    from tests.unit.control.fake_unit import FakeUnit

T = TypeVar("T")

# Generous: only a hung test ever waits this long.
DEADLINE_S = 10.0


@dataclass
class Served:
    """The running server and ways to talk to it."""

    unit: FakeUnit
    path: Path
    loop: asyncio.AbstractEventLoop
    server: ControlServer

    def client(self, timeout_s: float = DEADLINE_S) -> ControlClient:
        return ControlClient(self.path, timeout_s=timeout_s)

    def connect(self) -> socket.socket:
        """A plain connection, for bytes no client of ours would send."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(DEADLINE_S)
        connection.connect(str(self.path))
        return connection

    def exchange(self, request: bytes) -> bytes:
        """Send bytes, read all of the answer until the server closes."""
        with self.connect() as connection:
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(request)
            return read_all(connection)

    def in_loop(self, action: Callable[[], T]) -> T:
        """Run a function on the server's loop."""

        async def call() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(DEADLINE_S)


def read_all(connection: socket.socket) -> bytes:
    """Read until the end."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)


@contextlib.contextmanager
def serve(
    unit: FakeUnit, *, gid: int | None = None, peer_reader: Callable[[CredentialSocket], Peer] = read_peer
) -> Iterator[Served]:
    """Serve the unit for the time of a with block; the server must end by itself when told."""
    with tempfile.TemporaryDirectory(prefix="fab") as directory:
        path = Path(directory) / "run" / "f.sock"
        ready = threading.Event()
        found: list[Served] = []

        async def main() -> None:
            server = ControlServer(unit.facade(), path, gid=gid, peer_reader=peer_reader)
            running = asyncio.create_task(server.run())
            await server.wait_listening()
            found.append(Served(unit, path, asyncio.get_running_loop(), server))
            ready.set()
            await running

        thread = threading.Thread(target=lambda: asyncio.run(main()), name="served")
        thread.start()
        try:
            assert ready.wait(DEADLINE_S), "the server did not start"
            yield found[0]
        finally:
            if found:
                with contextlib.suppress(RuntimeError):  # the test has stopped it itself: the loop is closed
                    found[0].loop.call_soon_threadsafe(found[0].server.stop)
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "the server did not stop"
            assert not path.exists(), "the socket was left behind"
