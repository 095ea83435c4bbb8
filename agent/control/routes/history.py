"""`/v1/prints`, `/v1/events`, `/v1/logs`: what happened."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from agent.control.answers import answer, ndjson
from agent.control.body import path_id, query_int
from agent.control.documents import event_document, print_document
from agent.domain.errors import NotFoundError
from agent.http.application import Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from agent.control.streams import StreamSlots
    from agent.control.unit import UnitFacade
    from agent.http.request import Request
    from agent.http.response import Response

# One answer stays well under a megabyte.
EVENTS_LIMIT = 1000
PRINTS_LIMIT = 1000
PRINTS_DEFAULT = 100
LOGS_LIMIT = 5000
LOGS_DEFAULT = 200
# Log lines may wait this long to be seen; polling a counter costs nothing and no thread has to wake the loop.
LOG_POLL_S = 0.25
_LAST_SEQ = (1 << 63) - 1


class HistoryRoutes:
    """Reads records; changes nothing."""

    def __init__(self, unit: UnitFacade, slots: StreamSlots) -> None:
        self._unit = unit
        self._slots = slots

    def routes(self) -> list[Route]:
        """List the paths."""
        return [
            Route("/v1/prints", self.prints, methods=["GET"]),
            Route("/v1/prints/{id}", self.show, methods=["GET"]),
            Route("/v1/prints/{id}/receipt", self.receipt, methods=["GET"]),
            Route("/v1/events", self.events, methods=["GET"]),
            Route("/v1/logs", self.logs, methods=["GET"]),
            Route("/v1/logs/stream", self.follow, methods=["GET"]),
        ]

    async def prints(self, request: Request) -> Response:
        """Answer prints, newest first."""
        limit = query_int(request, "limit", PRINTS_DEFAULT, 1, PRINTS_LIMIT)
        records = await self._unit.queue.prints(limit=limit)
        return answer({"prints": [print_document(record) for record in records]})

    async def show(self, request: Request) -> Response:
        """Answer one print."""
        return answer(print_document(await self._unit.queue.get_print(path_id(request, "print"))))

    async def receipt(self, request: Request) -> Response:
        """Answer the receipt of a finished print."""
        record = await self._unit.queue.get_print(path_id(request, "print"))
        if record.receipt is None:
            raise NotFoundError(
                f"print {record.print_id} has no receipt: it is {record.state}",
                code="no_receipt",
                remedy="a receipt is written when a print is over",
            )
        document: dict[str, Any] = {"print_id": record.print_id, "receipt": json.loads(record.receipt)}
        if record.receipt_seal is not None:
            document["seal"] = json.loads(record.receipt_seal)
            # Exactly these bytes are signed; another program need not write JSON as this one does.
            document["payload"] = base64.b64encode(record.receipt.encode("utf-8")).decode()
        return answer(document)

    async def events(self, request: Request) -> Response:
        """Answer durable records after a sequence number, or the newest `tail`."""
        after = query_int(request, "after", 0, 0, _LAST_SEQ)
        limit = query_int(request, "limit", EVENTS_LIMIT, 1, EVENTS_LIMIT)
        tail = query_int(request, "tail", 0, 0, EVENTS_LIMIT)
        if tail:
            after, limit = max(after, await self._unit.queue.newest_event() - tail), tail
        events = await self._unit.queue.events_after(after, limit=limit)
        last = events[-1].seq if events else after
        return answer({"events": [event_document(event) for event in events], "last": last})

    async def logs(self, request: Request) -> Response:
        """Answer the newest log entries."""
        n = query_int(request, "n", LOGS_DEFAULT, 1, LOGS_LIMIT)
        return answer({"entries": list(self._unit.logs.tail(n))})

    async def follow(self, request: Request) -> Response:
        """Stream the last `n` log entries and then new ones."""
        n = query_int(request, "n", 0, 0, LOGS_LIMIT)
        return ndjson(self._slots.hold(self._entries(n)))

    async def _entries(self, n: int) -> AsyncGenerator[Mapping[str, Any], None]:
        newest = self._unit.logs.tail(1)
        seq = int(newest[-1]["seq"]) if newest else 0
        for entry in self._unit.logs.tail(n) if n else ():
            seq = int(entry["seq"])
            yield entry
        while not await self._slots.closed_within(LOG_POLL_S):
            for entry in self._unit.logs.after(seq, LOGS_LIMIT):
                seq = int(entry["seq"])
                yield entry
