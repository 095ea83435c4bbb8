"""An HTTP server that says exactly what a test wants, byte by byte, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_REQUEST_LIMIT = 1 << 16


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    line: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    @property
    def offset(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else 0


# The chunks are sent one by one; a handler that is a generator decides between them what comes next.
Handler = Callable[[Request], Iterable[bytes]]


class FileServer:
    """Listens on a free port of 127.0.0.1 and serves one connection after the other."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.requests: list[Request] = []
        self.sent_bytes = 0
        self.released = threading.Event()
        """Set when the test is over: handlers that want to be silent wait for it."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/part.gcode"

    def close(self) -> None:
        self.released.set()
        # Wakes the accept below.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while not self.released.is_set():
            connection, _ = self._listener.accept()
            connection.settimeout(5)
            with connection, contextlib.suppress(OSError):
                if self._tls is None:
                    self._answer(connection)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as encrypted:
                        self._answer(encrypted)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data and len(data) < _REQUEST_LIMIT:
            chunk = connection.recv(4096)
            if not chunk:
                return
            data += chunk
        line, *rest = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        request = Request(line, headers)
        self.requests.append(request)
        for chunk in self._handler(request):
            connection.sendall(chunk)
            self.sent_bytes += len(chunk)


def head(status: str, *headers: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def whole(data: bytes) -> Handler:
    """A server without ranges."""
    return lambda _: [head("200 OK", f"Content-Length: {len(data)}"), data]


def ranged(data: bytes) -> Handler:
    """A server that can resume."""

    def answer(request: Request) -> Iterable[bytes]:
        if not request.offset:
            return whole(data)(request)
        rest = data[request.offset :]
        content_range = f"Content-Range: bytes {request.offset}-{len(data) - 1}/{len(data)}"
        return [head("206 Partial Content", f"Content-Length: {len(rest)}", content_range), rest]

    return answer


def redirect(location: str, status: str = "302 Found") -> Handler:
    """A server that sends its clients elsewhere."""
    return lambda _: [head(status, f"Location: {location}", "Content-Length: 0")]
