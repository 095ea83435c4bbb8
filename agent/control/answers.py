"""Responses of the control API: JSON documents, NDJSON streams, errors."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from agent.domain.errors import FabunitError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send


def encode(document: Mapping[str, Any]) -> bytes:
    """Encode one JSON document without line ends; a number that JSON lacks (NaN, infinity) becomes null."""
    try:
        text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(document), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def answer(document: Mapping[str, Any], status: int = 200) -> Response:
    """Build a JSON response."""
    return Response(encode(document), status, media_type="application/json")


def error_answer(error: FabunitError) -> Response:
    """Build the response to a failure. The connection closes, since the body may not have been read."""
    headers = {"connection": "close"}
    return Response(encode({"error": error.to_dict()}), error.http_status, headers, "application/json")


async def on_fabunit_error(_request: Request, error: Exception) -> Response:
    """Answer an expected failure."""
    if not isinstance(error, FabunitError):
        raise error
    return error_answer(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path or a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        return error_answer(NotFoundError("the API has no such path", remedy="see docs/control-api.md"))
    usage = UsageError(
        f"{request.method} is not possible on this path", code="method", remedy="see docs/control-api.md"
    )
    usage.http_status = error.status_code
    return error_answer(usage)


async def on_bug(_request: Request, _error: Exception) -> Response:
    """Answer a failure nobody expected; the server logs it with its traceback."""
    return error_answer(
        FabunitError(
            "the daemon failed on this request", code="internal", remedy="see `fabunit logs` for the cause"
        )
    )


class NdjsonStream(Response):
    """One JSON document per line until the source ends or the client goes.

    A client that stops reading stops the source (flow control), it never fills memory.
    """

    media_type = "application/x-ndjson"

    def __init__(self, documents: AsyncGenerator[Mapping[str, Any], None]) -> None:
        self._documents = documents
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store"})

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set headers without a content length: the end of the stream is not known."""
        self.body = b""
        super().init_headers(headers)
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send documents; whichever ends first, source or client, ends the other."""
        del scope
        pump = asyncio.create_task(self._pump(send), name="ndjson-pump")
        gone = asyncio.create_task(_wait_gone(receive), name="ndjson-client")
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pump.cancel()
            gone.cancel()
            results = await asyncio.gather(pump, gone, return_exceptions=True)
            await self._documents.aclose()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, OSError):
                raise result

    async def _pump(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        try:
            async for document in self._documents:
                await send(
                    {"type": "http.response.body", "body": encode(document) + b"\n", "more_body": True}
                )
        except FabunitError as error:  # the status line is long gone, so the last document says it
            line = encode({"error": error.to_dict()}) + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
