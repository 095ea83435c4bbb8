"""Paths and methods to endpoints; what goes wrong to answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from agent.domain.errors import FabunitError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agent.http.request import Request
    from agent.http.response import Response

_PARAMETER = re.compile(r"\{([a-z]+)(:path)?\}")
_log = structlog.get_logger("http")


class WrongMethodError(UsageError):
    """The path takes other methods."""

    code = "method"
    http_status = 405


@dataclass(frozen=True)
class Route:
    """An endpoint at a path. `{id}` is one segment, `{name:path}` all that follows; GET takes HEAD, too."""

    path: str
    endpoint: Callable[[Request], Awaitable[Response]]
    methods: Sequence[str] = ("GET",)
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        """Compile the path."""
        parts, at = [], 0
        for found in _PARAMETER.finditer(self.path):
            parts += [
                re.escape(self.path[at : found.start()]),
                f"(?P<{found[1]}>{'.*' if found[2] else '[^/]+'})",
            ]
            at = found.end()
        parts.append(re.escape(self.path[at:]))
        object.__setattr__(self, "pattern", re.compile("".join(parts), re.DOTALL))

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
            found = route.pattern.fullmatch(request.path)
            if found is None:
                continue
            if route.takes(request.method):
                request.path_params = found.groupdict()
                return route
            others += route.methods
        if others:
            raise WrongMethodError(
                f"{request.method} is not possible on this path, only {', '.join(sorted(set(others)))}",
                remedy=f"see {self._manual}",
            )
        raise NotFoundError("there is no such path here", remedy=f"see {self._manual}")
