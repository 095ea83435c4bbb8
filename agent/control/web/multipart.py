"""multipart/form-data (RFC 7578) as a stream: bytes in, parts out, constant memory. Pure.

Strict about what a browser, curl and the slicers send: CRLF line ends, a header block of bounded size, nothing nested.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from agent.domain.errors import UsageError

# The headers of one part: a name, a file name, a content type.
HEADERS_LIMIT_BYTES = 8 * 1024
# Fields of an upload: print, select, path, userdata and the file; Cura sends five.
PARTS_LIMIT = 20
# RFC 2046, section 5.1.1.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_BOUNDARY_PARAMETER = re.compile(
    r";\s*boundary=(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>[^\s;\"]+))", re.IGNORECASE
)
_PARAMETER = re.compile(r";\s*(?P<name>[a-zA-Z*]+)=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\s;\"]*))")


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins: the field's name, and the file's as the sender gave it (None: no file)."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """Some of the part's bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is over."""


Item = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = "preamble"
    DELIMITER = "delimiter"
    HEADERS = "headers"
    BODY = "body"
    DONE = "done"


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a Content-Type. Raises UsageError `not_multipart`."""
    kind = content_type.partition(";")[0].strip().lower()
    found = _BOUNDARY_PARAMETER.search(content_type)
    boundary = (found["quoted"] if found["quoted"] is not None else found["plain"]) if found else ""
    if kind != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise UsageError(
            "the upload is no multipart/form-data with a boundary",
            code="not_multipart",
            remedy="send it as a browser sends a form, with the file in the field `file`",
        )
    return boundary.encode("ascii")


class MultipartReader:
    """Feed it the body in any pieces; it keeps no more than one header block or one delimiter of them."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter has no line end before it; a pretended one makes all of them alike.
        self._buffer = bytearray(b"\r\n")
        self._state = _State.PREAMBLE
        self._parts = 0

    @property
    def is_done(self) -> bool:
        """Tell whether the closing delimiter has come."""
        return self._state is _State.DONE

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes and return what they complete. Raises UsageError `bad_multipart`."""
        self._buffer += data
        items: list[Item] = []
        while self._step(items):
            pass
        return items

    def _step(self, items: list[Item]) -> bool:
        """Go on by one state; False when more bytes are needed."""
        match self._state:
            case _State.PREAMBLE | _State.BODY:
                return self._body(items)
            case _State.DELIMITER:
                return self._after_delimiter()
            case _State.HEADERS:
                return self._headers(items)
        self._buffer.clear()  # an epilogue says nothing
        return False

    def _body(self, items: list[Item]) -> bool:
        is_part = self._state is _State.BODY
        at = self._buffer.find(self._delimiter)
        if at < 0:
            # Whatever may be the beginning of a delimiter stays.
            sure = max(0, len(self._buffer) - len(self._delimiter) + 1)
            if sure:
                if is_part:
                    items.append(PartData(bytes(self._buffer[:sure])))
                del self._buffer[:sure]
            return False
        if is_part:
            if at:
                items.append(PartData(bytes(self._buffer[:at])))
            items.append(PartEnd())
        del self._buffer[: at + len(self._delimiter)]
        self._state = _State.DELIMITER
        return True

    def _after_delimiter(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer.startswith(b"--"):
            self._state = _State.DONE
            return True
        line, found, _ = self._buffer.partition(b"\r\n")
        if not found:
            if len(self._buffer) > HEADERS_LIMIT_BYTES:
                raise _bad("a delimiter without an end")
            return False
        if line.strip(b" \t"):
            raise _bad("bytes behind a delimiter")
        self._parts += 1
        if self._parts > PARTS_LIMIT:
            raise _bad(f"more than {PARTS_LIMIT} parts")
        # The line end stays: a part without headers begins with an empty line.
        del self._buffer[: len(line)]
        self._state = _State.HEADERS
        return True

    def _headers(self, items: list[Item]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEADERS_LIMIT_BYTES or (end < 0 and len(self._buffer) > HEADERS_LIMIT_BYTES):
            raise _bad(f"part headers of more than {HEADERS_LIMIT_BYTES} bytes")
        if end < 0:
            return False
        block = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        items.append(_part(block))
        self._state = _State.BODY
        return True


def _part(block: bytes) -> PartBegin:
    for line in block.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return _disposition(value)
    raise _bad("a part without Content-Disposition")


def _disposition(value: str) -> PartBegin:
    if value.partition(";")[0].strip().lower() != "form-data":
        raise _bad("a part that is no form-data")
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(value):
        text = match["plain"] if match["quoted"] is None else re.sub(r"\\([\"\\])", r"\1", match["quoted"])
        found.setdefault(match["name"].lower(), text)
    if not found.get("name"):
        raise _bad("a part without a name")
    return PartBegin(found["name"], found.get("filename"))


def _bad(what: str) -> UsageError:
    return UsageError(f"the upload is damaged: {what}", code="bad_multipart", remedy="send it again")
