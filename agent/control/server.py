"""The control API's server: on a Unix socket, inside the daemon's event loop."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from agent.control.listener import open_listener
from agent.control.peer import AccessPolicy, Peer, read_peer
from agent.control.streams import StreamSlots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.control.listener import Listener
    from agent.control.peer import CredentialSocket
    from agent.control.unit import UnitFacade
    from agent.http.server import HttpServer

API_MODULE = "agent.control.api"
"""Loaded while the printer is being greeted already."""


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
        api = await asyncio.to_thread(importlib.import_module, API_MODULE)
        slots = StreamSlots()
        policy = AccessPolicy.for_group(self._path.lstat().st_gid)
        server: HttpServer = api.control_server(self._unit, slots, policy, self._peer_reader)
        serving = asyncio.create_task(server.serve(listener.socket, self._listening), name="control-http")
        closing = asyncio.create_task(self._stopping.wait(), name="control-stop")
        try:
            await asyncio.wait({serving, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.stop()
            slots.close()
            closing.cancel()
            await serving
