"""Request bodies and parameters: hostile until they have become typed values."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from agent.control.unit import JobRequest
from agent.domain.errors import FabunitError, NotFoundError, UsageError
from agent.http.request import BodyBrokenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.http.request import Request

# Every JSON request of this API fits many times over.
JSON_LIMIT_BYTES = 64 * 1024
# A client that stays silent this long in the middle of a body is gone or hostile.
BODY_TIMEOUT_S = 30.0
NAME_LIMIT = 255

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}")
_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no", ""})


class TooLargeError(FabunitError):
    """The body is bigger than this path takes."""

    code = "too_large"
    exit_code = 4
    http_status = 413


class Body(BaseModel):
    """Base of all JSON request bodies: unknown keys and coerced types are errors."""

    # defer_build: a daemon nobody commands does not pay 1 MiB for the validators.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class SalvageBody(Body):
    """`POST /v1/jobs/{id}/salvage`: go on at the proposed place, or at the beginning of this layer (1 is the first)."""

    layer: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class MoveBody(Body):
    """`POST /v1/jobs/{id}/move`: in front of a job, or to a place (1 is next)."""

    before: str | None = None
    to: Literal["first", "last"] | Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class PromptBody(Body):
    """`POST /v1/prompt`: the choice counted from 0."""

    choice: Annotated[int, Field(ge=0, le=99)]


class ConsoleBody(Body):
    """`POST /v1/console`: one line of G-code, no line ends in it."""

    line: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[\x20-\x7e]+$")] = Field(
        description="one line of printable ASCII, 1 to 256 characters"
    )


class ConnectBody(Body):
    """`POST /v1/printer/connect`: the port, or nothing for the configured one."""

    port: (
        Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")] | None
    ) = None


class HomeBody(Body):
    """`POST /v1/printer/home`: axes; none is all."""

    axes: Annotated[str, StringConstraints(pattern=r"^[XYZ]{0,3}$")] = Field(
        default="", description="some of X, Y and Z, or empty for all"
    )


class HeatBody(Body):
    """`POST /v1/printer/heat`: one heater, its target in °C; the printer service checks the limits."""

    heater: Annotated[str, StringConstraints(pattern=r"^(T[0-9]|B|C)$")] = Field(
        description="T0 to T9, B (bed) or C (chamber)"
    )
    celsius: Annotated[float, Field(ge=0, le=1000, strict=False)] = Field(description="0 to 1000 °C")


class RefillBody(Body):
    """`POST /v1/spools`: how many grams are in a slot now."""

    slot: Annotated[str, StringConstraints(min_length=1, max_length=16)]
    left_g: Annotated[float, Field(ge=0, le=100_000, strict=False)] = Field(description="0 to 100000 grams")


BodyT = TypeVar("BodyT", bound=Body)


async def read_json(request: Request, model: type[BodyT]) -> BodyT:
    """Read a small JSON object; an empty body is an empty object. Raises UsageError, TooLargeError."""
    raw = bytearray()
    async for chunk in read_chunks(request, JSON_LIMIT_BYTES):
        raw += chunk
    try:
        # json.loads refuses what is not UTF-8, and deep nesting ends in RecursionError, not in a crash.
        document = json.loads(raw) if raw else {}
        return model.model_validate(document)
    except ValidationError as error:
        raise UsageError(_first_fault(error, model)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {error}") from error


async def read_chunks(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces. Raises TooLargeError, and UsageError when the client goes or falls silent."""
    too_large = TooLargeError(f"the body is larger than {limit_bytes} bytes")
    declared = _declared_bytes(request)
    if declared is not None and declared > limit_bytes:
        raise too_large
    received = 0
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            received += len(chunk)
            if received > limit_bytes:
                raise too_large
            if chunk:
                yield chunk
    except BodyBrokenError as error:
        raise UsageError(f"the body broke off: {error}", code="cut_off") from error
    except TimeoutError as error:
        raise UsageError(
            f"nothing came for {BODY_TIMEOUT_S:g} s in the middle of the body", code="cut_off"
        ) from error


def _first_fault(error: ValidationError, model: type[Body]) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "body"
    field = model.model_fields.get(where)
    valid = f"; valid: {field.description}" if field is not None and field.description else ""
    said = "not a valid value" if fault["type"] == "string_pattern_mismatch" else fault["msg"]
    return f"{where}: {said}{valid}"


def path_id(request: Request, what: str) -> str:
    """Take the id from the path; raises NotFoundError for what cannot be one."""
    value = str(request.path_params["id"])
    if not _ID.fullmatch(value):
        listed = "`fabunit jobs --all`" if what == "job" else "`fabunit history`"
        raise NotFoundError(f"no {what} has the id {value[:60]!a}", remedy=f"{listed} lists them")
    return value


def query_int(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Read a whole number from the query, clamped by error: raises UsageError outside low..high."""
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,18}", raw) or not low <= int(raw) <= high:
        raise UsageError(f"{name} must be a whole number from {low} to {high}")
    return int(raw)


def query_float(request: Request, name: str, default: float, low: float, high: float) -> float:
    """Read a number from the query; raises UsageError outside low..high."""
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", raw) or not low <= float(raw) <= high:
        raise UsageError(f"{name} must be a number from {low:g} to {high:g}")
    return float(raw)


def query_flag(request: Request, name: str) -> bool:
    """Read a yes or no from the query, no by default; raises UsageError."""
    raw = request.query_params.get(name, "").lower()
    if raw not in _TRUE | _FALSE:
        raise UsageError(f"{name} must be 1 or 0")
    return raw in _TRUE


def job_request(request: Request) -> JobRequest:
    """Read the order's parameters from the query; raises UsageError."""
    return JobRequest(
        name=_file_name(request.query_params.get("name", "")),
        copies=query_int(request, "copies", 1, 1, 999),
        hold=query_flag(request, "hold"),
        material=_slug(request, "material"),
        quality=_slug(request, "quality"),
        priority=query_int(request, "priority", 0, -100, 100),
        expected_bytes=_declared_bytes(request),
    )


def _declared_bytes(request: Request) -> int | None:
    declared = request.headers.get("content-length")
    return None if declared is None else int(declared)


def _file_name(name: str) -> str:
    is_plain = name.isprintable() and "/" not in name and name not in ("", ".", "..")
    if not is_plain or len(name.encode(errors="replace")) > NAME_LIMIT:
        raise UsageError(
            f"{name[:60]!a} is no plain file name: printable, no `/`, at most 255 bytes",
            remedy="rename the file, or pass its own name as `name`",
        )
    return name


def _slug(request: Request, name: str) -> str | None:
    value = request.query_params.get(name)
    if value is None:
        return None
    if not _SLUG.fullmatch(value):
        raise UsageError(f"{name} must be a short name of letters, digits, `.`, `_`, `+` and `-`")
    return value
