"""A listener in front of a broker that keeps what each client said first, and passes everything on."""

from __future__ import annotations

import contextlib
import socket
import threading

_BLOCK_BYTES = 4096
_IDLE_S = 60.0


class FirstBytes:
    """Forwards to `target_port`, or without one takes what comes and answers nothing; a context manager."""

    def __init__(self, target_port: int | None = None) -> None:
        self._target_port = target_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port: int = self._server.getsockname()[1]
        self.said: list[bytes] = []
        """What came first, for each connection that sent anything; complete up to the block it came in."""
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut what is open."""
        for one in [self._server, *self._open]:
            # A thread that waits in `accept` or `recv` is woken by this, and not by closing alone.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(_IDLE_S)
        self._open.add(client)
        with contextlib.suppress(OSError), client:
            first = client.recv(_BLOCK_BYTES)
            if first:
                self.said.append(first)
            if self._target_port is None:
                while client.recv(_BLOCK_BYTES):
                    pass
                return
            with socket.create_connection(("127.0.0.1", self._target_port)) as broker:
                broker.sendall(first)
                back = threading.Thread(target=_pass_on, args=(broker, client), daemon=True)
                back.start()
                _pass_on(client, broker)
                back.join(_IDLE_S)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK_BYTES):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
