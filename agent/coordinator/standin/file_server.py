"""Artefacts by HTTP/1.1 with ranges: GET and HEAD of files that were pushed, and POST /join for invitations."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

# A unit that stalls must not keep a thread for ever.
_IDLE_S = 60.0
_MAX_CLIENTS = 64
# How soon `stop` is noticed.
_POLL_S = 0.05
_PATH = re.compile(r"/files/([0-9a-f]{32,64})(?:/[^/]{0,200})?")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file that may be fetched; `size` in bytes."""

    path: Path
    size: int


# Returns the file behind a token, None for an unknown one; called from several threads at once.
Lookup = Callable[[str], ServedFile | None]
# Returns the answer to a request to join, None for one that is refused; from several threads at once.
Redeem = Callable[[bytes], bytes | None]
_MAX_REQUEST_BYTES = 16 * 1024


class FileServer:
    """Serves until `stop`; `port` 0 takes a free one."""

    def __init__(self, host: str, port: int, lookup: Lookup, redeem: Redeem | None = None) -> None:
        self._server = _Server((host, port), lookup, redeem)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="files", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End; downloads under way are cut and taken up later."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], lookup: Lookup, redeem: Redeem | None) -> None:
        self.lookup = lookup
        self.redeem = redeem
        self._places = threading.BoundedSemaphore(_MAX_CLIENTS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away in the middle are everyday life."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "fabunit-coordinator"
    sys_version = ""
    timeout = _IDLE_S

    def do_GET(self) -> None:
        """Send a file or the asked part of it."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send the header of a file."""
        self._answer(with_body=False)

    def do_POST(self) -> None:
        """Take a request to join."""
        size = self.headers.get("Content-Length", "")
        is_join = self.path == "/join" and self.server.redeem is not None
        if not is_join or not size.isascii() or not size.isdigit() or int(size) > _MAX_REQUEST_BYTES:
            self.close_connection = True
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        body = self.rfile.read(int(size))
        answer = self.server.redeem(body) if self.server.redeem is not None else None
        if answer is None:
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name http.server gives it
        """Keep quiet; the ledger tells what arrived."""

    def _answer(self, *, with_body: bool) -> None:
        found = _PATH.fullmatch(self.path.partition("?")[0])
        served = self.server.lookup(found[1]) if found else None
        try:
            file = served.path.open("rb") if served else None
        except OSError:
            file = None
        if served is None or file is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with file:
            self._send(served, file, with_body=with_body)

    def _send(self, served: ServedFile, file: BinaryIO, *, with_body: bool) -> None:
        first, last = 0, served.size - 1
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
            if first > last:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{served.size}")
                return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{served.size}")
        self.end_headers()
        if with_body:
            file.seek(first)
            if last == served.size - 1:
                shutil.copyfileobj(file, self.wfile)
            else:
                self._send_part(file, last - first + 1)

    def _send_part(self, file: BinaryIO, size: int) -> None:
        while size and (block := file.read(min(size, 1 << 16))):
            self.wfile.write(block)
            size -= len(block)

    def _refuse(self, status: HTTPStatus, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
