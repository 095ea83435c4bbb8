"""One request: its head as plain values, its body as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable


class BodyBrokenError(Exception):
    """The client went away in the middle of the body, or sent something that is none."""


class Request:
    """What a handler gets. `headers` by lower-case name; of a name that comes twice, the first value counts.

    `path` is percent-decoded; of a query parameter that comes twice, the last value counts. `client` is the address of
    the other end, None on a Unix socket. `socket` is the connection's own, to ask the kernel who is there.
    """

    __slots__ = (
        "_body",
        "_endings",
        "client",
        "headers",
        "method",
        "path",
        "path_params",
        "query_params",
        "socket",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        body: Callable[[], AsyncIterator[bytes]],
        socket: Any = None,
        client: str | None = None,
    ) -> None:
        path, _, query = target.partition("?")
        self.method = method
        self.path = unquote(path)
        self.query_params = dict(parse_qsl(query, keep_blank_values=True))
        self.headers: dict[str, str] = {}
        for name, value in headers:
            self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
        self.path_params: dict[str, str] = {}
        self.socket = socket
        self.client = client
        self._body = body
        self._endings: list[Callable[[], None]] = []

    def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, read from the connection only when asked for. Raises BodyBrokenError."""
        return self._body()

    def on_end(self, call: Callable[[], None]) -> None:
        """Have `call` made when the answer is out or the connection lost."""
        self._endings.append(call)

    def end(self) -> None:
        """Tell those who asked that it is over; for the connection only."""
        for call in self._endings:
            call()
        self._endings.clear()
