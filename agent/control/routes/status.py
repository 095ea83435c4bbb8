"""`/v1/status`: everything at a glance, once or as a stream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.control.answers import answer, ndjson
from agent.control.body import query_float
from agent.control.status import StatusParts, status_document
from agent.http.application import Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agent.control.document_types import StatusDocument
    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade
    from agent.http.request import Request
    from agent.http.response import Response

# Faster than the eye needs, slow enough not to be felt by the printer thread.
SHORTEST_INTERVAL_S = 0.1
LONGEST_INTERVAL_S = 60.0
DEFAULT_INTERVAL_S = 0.5
# The curves are most of a document and change slowly: sent this often, a stream costs half as much on a small board.
SAMPLES_EVERY_S = 5.0


class StatusRoutes:
    """Reads the unit's parts and composes the status document."""

    def __init__(self, unit: UnitFacade, slots: StreamSlots) -> None:
        self._unit = unit
        self._slots = slots

    def routes(self) -> list[Route]:
        """List the paths."""
        return [Route("/v1/status", self.status), Route("/v1/status/stream", self.stream)]

    async def status(self, _request: Request) -> Response:
        """Answer one document."""
        return answer(await self._read(with_samples=False))

    async def stream(self, request: Request) -> Response:
        """Stream documents every `interval` seconds."""
        interval_s = query_float(
            request, "interval", DEFAULT_INTERVAL_S, SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S
        )
        return ndjson(self._slots.hold(self._documents(interval_s)))

    async def _documents(self, interval_s: float) -> AsyncGenerator[StatusDocument, None]:
        sampled_s = time.monotonic()
        yield await self._read(with_samples=True)
        while not await self._slots.closed_within(interval_s):
            is_due = time.monotonic() - sampled_s >= SAMPLES_EVERY_S
            if is_due:
                sampled_s = time.monotonic()
            yield await self._read(with_samples=is_due)

    async def _read(self, *, with_samples: bool) -> StatusDocument:
        return await read_status(self._unit, with_samples=with_samples)


async def read_status(unit: UnitFacade, *, with_samples: bool = False) -> StatusDocument:
    """Ask the unit's parts and compose the document."""
    return status_document(
        StatusParts(
            identity=unit.identity,
            printer=unit.printer.snapshot(),
            jobs=await unit.queue.list(include_over=False),
            bed=await unit.queue.bed(),
            link=unit.link(),
            host=unit.host(),
            warnings=unit.warnings(),
            now_s=time.monotonic(),
            now_ms=time.time_ns() // 1_000_000,
            samples=unit.printer.samples() if with_samples else None,
            is_auto_start=unit.is_auto_start,
            preparing=unit.preparing(),
        )
    )
