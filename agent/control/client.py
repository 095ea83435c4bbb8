"""The command line's side of the control API: synchronous, standard library only, quick to import."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from agent.domain.errors import (
    ArtefactError,
    FabunitError,
    NoDaemonError,
    NotFoundError,
    PortError,
    RefusedError,
    StorageError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# The daemon answers from memory or one small query; this long means that it hangs.
TIMEOUT_S = 15.0
# Homing and long moves answer only when the printer has done them.
PRINTER_TIMEOUT_S = 300.0
# The file is stored (fsync) and queued after its last byte.
UPLOAD_TIMEOUT_S = 120.0
# One read and one send of an upload.
CHUNK_BYTES = 256 * 1024

Document = dict[str, Any]

_ERROR_BY_STATUS: dict[int, type[FabunitError]] = {
    400: UsageError,
    403: RefusedError,
    404: NotFoundError,
    405: UsageError,
    409: RefusedError,
    413: ArtefactError,
    422: ArtefactError,
    503: PortError,
    507: StorageError,
}


class ControlClient:
    """Calls the daemon behind one control socket; every call opens its own connection.

    All methods raise NoDaemonError (nobody answers), RefusedError (no permission, or a rule) and whatever
    FabunitError the daemon answers with.
    """

    def __init__(self, socket_path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    def get(self, path: str, **query: object) -> Document:
        """Read one document."""
        return self._call("GET", _target(path, query), None, self._timeout_s)

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Document:
        """Ask for an action; `timeout_s` where the printer may take its time."""
        raw = None if body is None else json.dumps(body).encode()
        return self._call("POST", path, raw, timeout_s or self._timeout_s)

    def upload(
        self,
        path: str,
        source: IO[bytes],
        size: int | None,
        *,
        on_progress: Callable[[int], None] | None = None,
        **query: object,
    ) -> Document:
        """Send a file of any size with constant memory; `on_progress(sent_bytes)` after each piece.

        Without `size` (a pipe) the body goes out chunked.
        """
        connection = self._connection(UPLOAD_TIMEOUT_S)
        headers = {"Content-Type": "application/octet-stream"}
        if size is not None:
            headers["Content-Length"] = str(size)
        try:
            with connection:
                connection.send_request(
                    "POST", _target(path, query), _pieces(source, on_progress), headers, chunked=size is None
                )
                return _document(connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error) from error

    def stream(self, path: str, *, silence_s: float | None = None, **query: object) -> Iterator[Document]:
        """Yield documents until the daemon ends the stream; `silence_s` bounds the wait for the next one.

        An error document in the stream is raised. Close the iterator to hang up.
        """
        connection = self._connection(silence_s)
        try:
            with connection:
                connection.send_request("GET", _target(path, query), None, {}, chunked=False)
                response = connection.getresponse()
                if response.status != 200:
                    _document(response)
                while line := response.readline():
                    document: Document = json.loads(line)
                    if set(document) == {"error"}:
                        raise _error(500, document)
                    yield document
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._explain(error) from error

    def watch_status(self, interval_s: float) -> Iterator[Document]:
        """Yield status documents, each with the newest `samples` the daemon has sent."""
        samples: object = {}
        silence_s = interval_s + self._timeout_s
        for document in self.stream("/v1/status/stream", silence_s=silence_s, interval=interval_s):
            samples = document.setdefault("samples", samples)
            yield document

    def _call(self, method: str, target: str, body: bytes | None, timeout_s: float) -> Document:
        connection = self._connection(timeout_s)
        headers = {} if body is None else {"Content-Type": "application/json"}
        headers["Content-Length"] = str(len(body or b""))
        try:
            with connection:
                connection.send_request(method, target, body, headers, chunked=False)
                return _document(connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error) from error

    def _connection(self, timeout_s: float | None) -> _UnixConnection:
        return _UnixConnection(self._path, timeout_s)

    def _explain(self, error: Exception) -> FabunitError:
        """Say what a failed connection means for the person at the keyboard."""
        if isinstance(error, TimeoutError | BlockingIOError):  # the latter: its backlog is full
            return FabunitError(
                f"the daemon at {self._path} did not answer in time",
                code="timeout",
                remedy="look at `fabunit logs` and `systemctl status 'fabunit@*'`",
            )
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.EACCES, errno.EPERM):
            return _denied(self._path)
        if number in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR):
            return NoDaemonError(
                f"no daemon is running at {self._path}",
                remedy="start it with `fabunit run` or `systemctl start fabunit@NAME`;"
                " another socket is named with --socket",
            )
        if isinstance(error, (ConnectionError, http.client.HTTPException)):
            return NoDaemonError(
                f"the daemon at {self._path} hung up before it had answered",
                remedy="it may be restarting: try again, then look at `journalctl -u 'fabunit@*'`",
            )
        return FabunitError(f"talking to the daemon at {self._path} failed: {error}")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost")
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(os.fspath(self._path))

    def send_request(
        self,
        method: str,
        target: str,
        body: bytes | Iterator[bytes] | None,
        headers: dict[str, str],
        *,
        chunked: bool,
    ) -> None:
        """Send the request. A daemon that answers before it has read all of the body is no error here."""
        try:
            self.request(method, target, body, headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            # It refused early (too large, not allowed) and hung up: its reason waits to be read.
            if self.sock is None:
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _target(path: str, query: Mapping[str, object]) -> str:
    given = {name: _query_value(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _query_value(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def segment(identifier: str) -> str:
    """Quote an id typed by a person for use in a path. Raises NotFoundError for what is no id at all."""
    if not identifier or "/" in identifier:
        raise NotFoundError(
            f"nothing has the id {identifier!r}", remedy="`fabunit jobs --all` and `fabunit history` list ids"
        )
    return quote(identifier, safe="")


def _pieces(source: IO[bytes], on_progress: Callable[[int], None] | None) -> Iterator[bytes]:
    sent = 0
    while piece := source.read(CHUNK_BYTES):
        yield piece
        sent += len(piece)
        if on_progress is not None:
            on_progress(sent)


def _document(response: http.client.HTTPResponse) -> Document:
    """Parse the answer; raises the error it carries."""
    raw = response.read()
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if response.status >= 400:
        raise _error(response.status, document if isinstance(document, dict) else {})
    if not isinstance(document, dict):
        raise FabunitError("the daemon's answer is not a document", code="bad_answer")
    return document


def _error(status: int, document: Document) -> FabunitError:
    body = document.get("error")
    fields = body if isinstance(body, dict) else {}
    kind = _ERROR_BY_STATUS.get(status, FabunitError)
    message = fields.get("message") or f"the daemon answered with status {status}"
    code = fields.get("code")
    remedy = fields.get("remedy") or ("" if fields else "it may be stopping: see `fabunit logs`")
    return kind(str(message), code=None if code is None else str(code), remedy=str(remedy))


def _denied(path: Path) -> RefusedError:
    """Name the group that would be let in: that of the socket, or of the directory that hides it."""
    for place in (path, *path.parents):
        try:
            gid = place.stat().st_gid
        except OSError:
            continue
        group = _group_name(gid)
        return RefusedError(
            f"you may not talk to the daemon at {path}",
            code="denied",
            remedy=f"join the group {group}: `sudo usermod -aG {group} $USER`, then log in again",
        )
    return RefusedError(f"you may not talk to the daemon at {path}", code="denied")


def _group_name(gid: int) -> str:
    import grp  # noqa: PLC0415 - only for this error

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
