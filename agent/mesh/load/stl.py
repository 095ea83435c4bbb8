"""STL text to triangles: a fast path for what exporters write, an exact one for what people write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.mesh.arrays import F32
from agent.mesh.errors import MeshFileError
from agent.mesh.load.numbers import floats
from agent.mesh.load.source import SoupSource

_BLOCK_BYTES = 1 << 20
_WORDS = (b"facet", b"normal", b"outer", b"loop", b"vertex", b"end")
_NUMBERS_PER_FACET = 12  # the normal and three corners
_HEADER = re.compile(rb"(?:end)?solid[^\n]*")
_VERTEX = re.compile(rb"vertex[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)")
_FACET = re.compile(rb"facet\b(.*?)endfacet", re.DOTALL)


def read_ascii(path: Path, facets: int, scale: float = 1.0) -> SoupSource:
    """Return the triangles of an STL text that passed the gate with `facets` facets. Raises MeshFileError."""
    corners = np.empty((facets, 3, 3), dtype=np.float32)
    filled = 0
    for text in _whole_facets(path):
        block = _parse(text, filled)
        if filled + len(block) > facets:
            raise MeshFileError("the STL text has facets inside facets", code="file.malformed")
        corners[filled : filled + len(block)] = block
        filled += len(block)
    if filled != facets:
        raise MeshFileError(f"{facets} facets expected, {filled} found", code="file.malformed")
    return SoupSource(corners if scale == 1.0 else corners * np.float32(scale))


def _whole_facets(path: Path) -> Iterator[bytes]:
    carry = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            text = carry + block.lower().replace(b"\r", b"\n")
            cut = text.rfind(b"endfacet")
            if cut < 0:
                carry = text
                continue
            # The rest of the line may hold a remark.
            line = text.find(b"\n", cut)
            cut = line if line >= 0 else cut + len(b"endfacet")
            carry = text[cut:]
            yield text[:cut]
    if b"endfacet" in carry or b"vertex" in carry:
        yield carry


def _parse(text: bytes, first: int) -> F32:
    body = _HEADER.sub(b"", text)
    facets = body.count(b"endfacet")
    numbers = body
    for word in _WORDS:
        numbers = numbers.replace(word, b"")
    try:
        table = floats(numbers, facets * _NUMBERS_PER_FACET, "STL text")
    except MeshFileError:
        return _parse_slowly(body, first)
    with np.errstate(over="ignore", invalid="ignore"):
        return table.reshape(facets, 4, 3)[:, 1:].astype(np.float32)


def _parse_slowly(body: bytes, first: int) -> F32:
    """Read vertex by vertex: remarks after keywords and nonsense normals are overlooked, as slicers do."""
    rows: list[list[tuple[bytes, ...]]] = []
    for found in _FACET.finditer(body):
        vertices = _VERTEX.findall(found[1])
        if len(vertices) != 3:
            raise MeshFileError(
                f"facet {first + len(rows) + 1} has {len(vertices)} readable vertices, not three",
                code="file.malformed",
                remedy="export it again",
            )
        rows.append(vertices)
    words = b" ".join(word for vertices in rows for vertex in vertices for word in vertex)
    what = f"STL text, facets {first + 1} to {first + len(rows)}"
    with np.errstate(over="ignore", invalid="ignore"):
        return floats(words, 9 * len(rows), what).reshape(-1, 3, 3).astype(np.float32)
