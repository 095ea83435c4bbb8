"""XML of 3MF parts as a stream: expat for the structure, raw bytes for the big meshes, nothing for attackers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Protocol
from xml.parsers import expat

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.archive import Blocks
from agent.mesh.gate.bounds import GateBounds

Attributes = dict[str, str]
_OPEN_TAGS = (b"<mesh>", b"<mesh ")
_CLOSE_TAG = b"</mesh>"
_TAG_KEEP = 7  # bytes that may be the beginning of a tag at the end of a block


class UnusualMeshError(Exception):
    """A mesh that only a full parse reads: comments, references or unusual spellings inside it."""


class Handler(Protocol):
    """Receives a document: elements by local name, meshes as raw bytes where that is possible."""

    def start(self, name: str, attributes: Attributes) -> None:
        """Take the start of an element."""
        ...

    def end(self, name: str) -> None:
        """Take the end of an element."""
        ...

    def mesh_bytes(self, block: bytes, *, is_last: bool) -> None:
        """Take a piece of what lies between `<mesh>` and `</mesh>`; may raise UnusualMeshError."""
        ...


def parse(chunks: Callable[[], Blocks], handler: Callable[[], Handler], bounds: GateBounds) -> Handler:
    """Parse a document, fast if its meshes are plain, else again with every element through the handler.

    Both arguments are factories: the second parse starts over with a new handler. Raises MeshFileError.
    """
    try:
        return _run(chunks(), handler(), bounds, is_fast=True)
    except UnusualMeshError:
        return _run(chunks(), handler(), bounds, is_fast=False)


def _run(chunks: Blocks, handler: Handler, bounds: GateBounds, *, is_fast: bool) -> Handler:
    scanner = _Scanner(handler, bounds)
    try:
        with closing(chunks):
            for chunk in chunks:
                if is_fast:
                    scanner.feed(chunk)
                else:
                    scanner.feed_all(chunk)
        scanner.close()
    except expat.ExpatError as error:
        raise MeshFileError(f"the XML is not well-formed: {error}", code="file.malformed") from error
    return handler


class _Scanner:
    """Splits the stream between expat and the handler's mesh reader."""

    def __init__(self, handler: Handler, bounds: GateBounds) -> None:
        self._handler = handler
        self._bounds = bounds
        self._depth = 0
        self._opened_mesh = False
        self._in_mesh = False
        self._pending = b""
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EntityDeclHandler = self._doctype
        self._parser.buffer_text = True

    def feed_all(self, chunk: bytes) -> None:
        self._parser.Parse(chunk)

    def feed(self, chunk: bytes) -> None:
        data = self._pending + chunk
        self._pending = b""
        while data:
            data = self._inside(data) if self._in_mesh else self._outside(data)

    def close(self) -> None:
        if self._in_mesh:
            raise MeshFileError("the XML ends inside a mesh", code="file.truncated")
        self._parser.Parse(self._pending, True)  # noqa: FBT003 - expat takes no keywords

    def _outside(self, data: bytes) -> bytes:
        found = [place for tag in _OPEN_TAGS if (place := data.find(tag)) >= 0]
        if not found:
            cut = max(0, len(data) - _TAG_KEEP)
            self._parser.Parse(data[:cut])
            self._pending = data[cut:]
            return b""
        end = data.find(b">", min(found)) + 1
        if end == 0:
            if len(data) > self._bounds.max_header_bytes + (1 << 20):
                raise MeshFileError("a tag of the XML does not end", code="file.malformed")
            self._pending = data
            return b""
        self._opened_mesh = False
        self._parser.Parse(data[:end])
        # In a comment or a text the same letters open nothing.
        self._in_mesh = self._opened_mesh and data[end - 2 : end] != b"/>"
        return data[end:]

    def _inside(self, data: bytes) -> bytes:
        end = data.find(_CLOSE_TAG)
        if end < 0:
            cut = max(0, len(data) - _TAG_KEEP)
            cut = data.rfind(b"<", 0, cut + 1)
            if cut > 0:
                self._take(data[:cut], is_last=False)
            self._pending = data[max(cut, 0) :]
            if len(self._pending) > self._bounds.max_header_bytes + (1 << 20):
                raise UnusualMeshError
            return b""
        self._take(data[:end], is_last=True)
        self._in_mesh = False
        self._parser.Parse(_CLOSE_TAG)
        return data[end + len(_CLOSE_TAG) :]

    def _take(self, block: bytes, *, is_last: bool) -> None:
        # Single letters that no plain mesh has: much faster to look for than `<!`.
        if b"!" in block or b"?" in block or b"&" in block:
            raise UnusualMeshError
        self._handler.mesh_bytes(block, is_last=is_last)

    def _start(self, name: str, attributes: Attributes) -> None:
        self._depth += 1
        if self._depth > self._bounds.max_xml_depth:
            raise MeshFileError(
                f"the XML is nested deeper than {self._bounds.max_xml_depth}", code="file.hostile"
            )
        local = name.rpartition(" ")[2]
        if local == "mesh":
            self._opened_mesh = True
        self._handler.start(local, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._handler.end(name.rpartition(" ")[2])

    def _doctype(self, *_: object) -> None:
        raise MeshFileError(
            "the XML declares a document type or an entity", code="file.hostile", remedy="export it again"
        )
