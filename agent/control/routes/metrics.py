"""`/metrics`: figures for Prometheus, where they are on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from agent.control.answers import on_bug, on_fabunit_error, on_http_error
from agent.control.routes.status import read_status
from agent.domain.errors import FabunitError, NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from agent.control.unit import UnitFacade

# The text format's own name (prometheus.io, exposition formats); its version is not ours to choose.
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsRoutes:
    """Reads the status and writes it as figures."""

    def __init__(self, unit: UnitFacade) -> None:
        self._unit = unit

    def routes(self) -> list[BaseRoute]:
        """List the path."""
        return [Route("/metrics", self.metrics, methods=["GET"])]

    async def metrics(self, _request: Request) -> Response:
        """Answer a scrape."""
        if self._unit.metrics is None:
            raise NotFoundError("figures are off", remedy="set listen in [metrics]")
        document = await read_status(self._unit)
        # The first scrape imports prometheus-client: not in the loop that serves the printer's watchdog.
        text = await asyncio.to_thread(self._unit.metrics, document)
        return Response(text, media_type=_MEDIA_TYPE)


def build(unit: UnitFacade) -> ASGIApp:
    """Build an application that knows this path alone, for a listener of its own on the loopback address."""
    return Starlette(
        routes=MetricsRoutes(unit).routes(),
        exception_handlers={FabunitError: on_fabunit_error, HTTPException: on_http_error, Exception: on_bug},
    )
