"""Paths and methods to endpoints; what goes wrong to answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from agent.domain.errors import FabunitError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agent.http.request import Request
    from agent.http.response import Response

_log = structlog.get_logger("http")


class WrongMethodError(UsageError):
    """The path takes other methods."""

    code = "method"
    http_status = 405


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint at a path. `{id}` is one segment, `{name:path}` at its end all that follows; GET takes HEAD, too."""

    path: str
    endpoint: Callable[[Request], Awaitable[Response]]
    methods: Sequence[str] = ("GET",)

    def match(self, path: str) -> dict[str, str] | None:
        """Return the parameters in a path, None for another path."""
        wanted = self.path.split("/")
        given = path.split("/", len(wanted) - 1 if wanted[-1].endswith(":path}") else -1)
        if len(wanted) != len(given):
            return None
        found: dict[str, str] = {}
        for pattern, segment in zip(wanted, given, strict=True):
            if pattern.startswith("{"):
                if not segment:
                    return None
                found[pattern[1:-1].removesuffix(":path")] = segment
            elif pattern != segment:
                return None
        return found

    def takes(self, method: str) -> bool:
        """Tell whether it answers this method."""
        return method in self.methods or (method == "HEAD" and "GET" in self.methods)


class Application:
    """Answers every request: by its endpoint, or with why not."""

    def __init__(
        self,
        routes: Iterable[Route],
        answer_error: Callable[[Request, FabunitError], Response],
        *,
        manual: str,
    ) -> None:
        """`manual`: the page that lists the paths."""
        self.routes = tuple(routes)
        self._answer_error = answer_error
        self._manual = manual

    async def __call__(self, request: Request) -> Response:
        """Answer one request; never raises but for cancellation."""
        try:
            return await self._find(request).endpoint(request)
        except FabunitError as error:
            return self._answer_error(request, error)
        except Exception:  # noqa: BLE001 - the top of a request: one that fails must not take the others along
            _log.exception("request failed", method=request.method, path=request.path[:200])
            failed = FabunitError(
                "the daemon failed on this request",
                code="internal",
                remedy="see `fabunit logs` for the cause",
            )
            return self._answer_error(request, failed)

    def _find(self, request: Request) -> Route:
        """Find the route and set the path's parameters. Raises NotFoundError, WrongMethodError."""
        others: list[str] = []
        for route in self.routes:
            found = route.match(request.path)
            if found is None:
                continue
            if route.takes(request.method):
                request.path_params = found
                return route
            others += route.methods
        if others:
            raise WrongMethodError(
                f"{request.method} is not possible on this path, only {', '.join(sorted(set(others)))}",
                remedy=f"see {self._manual}",
            )
        raise NotFoundError("there is no such path here", remedy=f"see {self._manual}")
