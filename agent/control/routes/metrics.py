"""`/metrics`: figures for Prometheus, where they are on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.control.answers import on_error
from agent.control.routes.status import read_status
from agent.domain.errors import NotFoundError
from agent.http.application import Application, Route
from agent.http.response import Response

if TYPE_CHECKING:
    from agent.control.unit import UnitFacade
    from agent.http.request import Request

# The text format's own name (prometheus.io, exposition formats); its version is not ours to choose.
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsRoutes:
    """Reads the status and writes it as figures."""

    def __init__(self, unit: UnitFacade) -> None:
        self._unit = unit

    def routes(self) -> list[Route]:
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


def build(unit: UnitFacade) -> Application:
    """Build an application that knows this path alone, for a listener of its own on the loopback address."""
    return Application(MetricsRoutes(unit).routes(), on_error, manual="docs/metrics.md")
