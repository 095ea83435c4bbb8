"""`/v1/console`: raw G-code under the safety rules, and the conversation with the printer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.control.answers import answer, ndjson
from agent.control.body import ConsoleBody, query_int, read_json
from agent.control.documents import transcript_document
from agent.http.application import Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade
    from agent.http.request import Request
    from agent.http.response import Response

# Every G-code and tool change, and what lets go of the motors; more than moves is no harm.
_MOVES = re.compile(r"\s*(?:[GT]|M(?:17|18|84|60\d|70\d)\b)", re.IGNORECASE)
# What the printer service keeps is of this order; a screen shows less.
TAIL_LIMIT = 1000
TAIL_DEFAULT = 50


class ConsoleRoutes:
    """Passes lines to the printer and its replies back."""

    def __init__(self, unit: UnitFacade, slots: StreamSlots) -> None:
        self._unit = unit
        self._slots = slots

    def routes(self) -> list[Route]:
        """List the paths."""
        return [
            Route("/v1/console", self.command, methods=["POST"]),
            Route("/v1/console/tail", self.tail, methods=["GET"]),
            Route("/v1/console/stream", self.stream, methods=["GET"]),
        ]

    async def command(self, request: Request) -> Response:
        """Send one checked line and answer the replies."""
        line = (await read_json(request, ConsoleBody)).line
        if _MOVES.match(line):
            await self._unit.note_moved()
        return answer({"line": line, "replies": list(await self._unit.printer.command(line))})

    async def tail(self, request: Request) -> Response:
        """Answer the last lines of the conversation."""
        n = query_int(request, "n", TAIL_DEFAULT, 1, TAIL_LIMIT)
        return answer(
            {"entries": [transcript_document(entry) for entry in self._unit.printer.transcript_tail(n)]}
        )

    async def stream(self, _request: Request) -> Response:
        """Stream the conversation from now on."""
        return ndjson(self._slots.hold(self._documents()))

    async def _documents(self) -> AsyncGenerator[Mapping[str, Any], None]:
        entries = self._slots.until_closed(self._unit.printer.subscribe())
        try:
            async for entry in entries:
                yield transcript_document(entry)
        finally:
            await entries.aclose()
