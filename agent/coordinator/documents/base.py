"""What all messages have in common: their base model, the way from bytes to a model, and the error that says where."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from agent.domain.errors import UsageError

JSON = "application/json"
ZLIB_JSON = "application/json+zlib"
# Shorter payloads gain nothing from compression, and stay readable on the wire.
ZLIB_ABOVE_BYTES = 1024
# An inline artefact of 128 KiB is 175 kB of base64, twice encoded in a signed form 234 kB.
MAX_PAYLOAD_BYTES = 256 * 1024
# A compressed message may not blow up beyond what an uncompressed one may be.
MAX_DOCUMENT_BYTES = 512 * 1024
# A hostile document can be wrong in thousands of places; the first few help, the rest is noise.
MAX_PROBLEMS = 10
_MAX_SHOWN_PATH_CHARS = 120
_ZLIB_FIRST_BYTE = 0x78  # RFC 1950 with the usual 32 KiB window; no JSON text begins with "x"

TimeMs = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Unix milliseconds; the bound is what every JSON reader holds exactly."""
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Revision = Annotated[int, Field(ge=1, le=2**31 - 1)]
JobId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
UnitId = Annotated[str, Field(pattern=r"^[a-z0-9-]{3,64}$")]
Epoch = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=2000)]

ModelT = TypeVar("ModelT", bound="Document")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `path` is the field, such as `artefact.sha256`; empty for the whole payload."""

    path: str
    message: str


class DocumentError(UsageError):
    """A payload that is not the document it should be; `problems` say what is wrong where."""

    code = "malformed"

    def __init__(
        self, what: str, problems: tuple[Problem, ...], content: dict[str, Any] | None = None
    ) -> None:
        told = "; ".join(f"{problem.path or 'payload'}: {problem.message}" for problem in problems)
        super().__init__(f"{what}: {told}", remedy="docs/asyncapi.yaml has the schema and examples")
        self.problems = problems
        self.content = content
        """The JSON object, where there was one, so that an answer can name what it is about."""


class Document(BaseModel):
    """Base of all messages: frozen, no silent conversions, unknown fields are kept.

    Validators are built at first use: most messages are parts of others, or rare.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        strict=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    def to_json(self) -> bytes:
        """Return the compact JSON text; fields that are not set are left out."""
        return self.model_dump_json(exclude_none=True).encode()


def packed(body: bytes, above_bytes: int = ZLIB_ABOVE_BYTES) -> tuple[bytes, str]:
    """Return (payload, content type): compressed when that makes a long body shorter."""
    if len(body) > above_bytes:
        small = zlib.compress(body, 6)
        if len(small) < len(body):
            return small, ZLIB_JSON
    return body, JSON


def json_object(
    what: str, payload: bytes, content_type: str | None = None, *, most_bytes: int = MAX_DOCUMENT_BYTES
) -> dict[str, Any]:
    """Return the JSON object in a payload, at most `most_bytes` when unpacked. Raises DocumentError.

    The content type is only a hint, because bridges drop it: compressed payloads are known by their first byte.
    """
    body = _unpacked(what, payload, content_type, most_bytes)
    try:
        value = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise _error(what, f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise _error(what, f"a JSON object is wanted, this is {_kind(value)}")
    return value


def validated(what: str, model: type[ModelT], content: dict[str, Any]) -> ModelT:
    """Return the object as `model`. Raises DocumentError naming each wrong field."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        problems = tuple(
            Problem(_path(detail["loc"]), _message(detail["msg"])) for detail in details[:MAX_PROBLEMS]
        )
        raise DocumentError(what, problems, content) from None
    except RecursionError:
        raise DocumentError(what, (Problem("", "nested too deeply"),), content) from None


def _unpacked(what: str, payload: bytes, content_type: str | None, most_bytes: int) -> bytes:
    largest = min(MAX_PAYLOAD_BYTES, most_bytes)
    if len(payload) > largest:
        raise _error(what, f"{len(payload)} bytes; at most {largest} are taken")
    is_zlib = payload[:1] == bytes([_ZLIB_FIRST_BYTE]) or content_type == ZLIB_JSON
    if not is_zlib:
        return payload
    inflate = zlib.decompressobj()
    try:
        body = inflate.decompress(payload, most_bytes)
    except zlib.error as error:
        raise _error(what, f"damaged zlib data: {error}") from None
    if inflate.unconsumed_tail:
        raise _error(what, f"more than {most_bytes} bytes when unpacked")
    if not inflate.eof:
        raise _error(what, "zlib data is cut off")
    return body


def _error(what: str, message: str) -> DocumentError:
    return DocumentError(what, (Problem("", message),))


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _path(loc: tuple[int | str, ...]) -> str:
    """Write a location as `jobs[3].rev`; what pydantic adds for validators is no field."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not part.startswith(("function-", "constrained-", "tagged-")):
            text += f".{part}" if text else part
    return text if len(text) <= _MAX_SHOWN_PATH_CHARS else f"{text[:_MAX_SHOWN_PATH_CHARS]}…"


def _message(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
