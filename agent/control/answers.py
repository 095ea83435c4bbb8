"""Responses of the control API: JSON documents, NDJSON streams, errors."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from agent.domain.errors import FabunitError
from agent.http.response import Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from agent.http.request import Request


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


def on_error(_request: Request, error: FabunitError) -> Response:
    """Answer what an endpoint raised."""
    return error_answer(error)


def ndjson(documents: AsyncGenerator[Mapping[str, Any], None]) -> Response:
    """Build a response of one JSON document per line, until the source ends or the client goes.

    A client that stops reading stops the source (flow control), it never fills memory.
    """
    headers = {"cache-control": "no-store"}
    return Response(headers=headers, media_type="application/x-ndjson", chunks=_lines(documents))


async def _lines(documents: AsyncGenerator[Mapping[str, Any], None]) -> AsyncGenerator[bytes, None]:
    try:
        async for document in documents:
            yield encode(document) + b"\n"
    except FabunitError as error:  # the status line is long gone, so the last document says it
        yield encode({"error": error.to_dict()}) + b"\n"
    finally:
        await documents.aclose()
