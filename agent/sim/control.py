"""The control socket: words that drive faults while the virtual printer runs.

A Unix stream socket. Each line a client sends is one word; each gets one line back: `ok`, a JSON document, or
`error: ...`.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_WORD_BYTES = 256  # longer lines are no words: the client is dropped
MAX_CLIENTS = 8


class ControlSocket:
    """Listens at `path`; `answer` turns a word into a reply."""

    def __init__(self, path: Path, answer: Callable[[str], str]) -> None:
        self._path = path
        self._answer = answer
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        with contextlib.suppress(FileNotFoundError):
            if path.is_socket():
                path.unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.bind(str(path))
        except OSError as error:
            self._listener.close()
            raise OSError(error.errno, error.strerror, str(path)) from error
        path.chmod(0o600)
        self._listener.listen(MAX_CLIENTS)
        self._listener.settimeout(0)

    def descriptors(self) -> list[int]:
        """What to wait on for reading."""
        return [self._listener.fileno(), *self._clients]

    def ready(self, fd: int) -> None:
        """A descriptor is readable."""
        if fd == self._listener.fileno():
            with contextlib.suppress(BlockingIOError):
                client, _ = self._listener.accept()
                client.settimeout(0)
                if len(self._clients) >= MAX_CLIENTS:
                    client.close()
                else:
                    self._clients[client.fileno()] = (client, bytearray())
        elif fd in self._clients:
            self._read(fd)

    def _read(self, fd: int) -> None:
        client, pending = self._clients[fd]
        try:
            data = client.recv(MAX_WORD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        pending += data
        while b"\n" in pending or (not data and pending):
            word, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            reply = self._answer(word.decode("ascii", "replace").strip())
            with contextlib.suppress(OSError):  # a client that is gone needs no reply
                client.sendall((reply + "\n").encode())
        if not data or len(pending) > MAX_WORD_BYTES:
            client.close()
            del self._clients[fd]

    def close(self) -> None:
        """Close everything and remove the socket."""
        for client, _ in self._clients.values():
            client.close()
        self._clients.clear()
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
