"""STL: 84 + 50 n bytes, or text with three vertices to a facet."""

from __future__ import annotations

import struct
from pathlib import Path

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.bounds import GateBounds
from agent.mesh.gate.facts import GateFacts, MeshFormat

BINARY_HEAD_BYTES = 84  # 80 of comment, then the number of facets
FACET_BYTES = 50
_BLOCK_BYTES = 1 << 20


def is_binary_length(head: bytes, size_bytes: int) -> bool:
    """Tell whether count and length agree, which no text has by chance."""
    return size_bytes == BINARY_HEAD_BYTES + FACET_BYTES * _claimed(head)


def inspect_stl(path: Path, size_bytes: int, bounds: GateBounds) -> GateFacts:
    """Return the facts of an STL. Raises MeshFileError."""
    with path.open("rb") as file:
        head = file.read(BINARY_HEAD_BYTES)
    if len(head) == BINARY_HEAD_BYTES and is_binary_length(head, size_bytes):
        return _binary(_claimed(head), size_bytes, bounds)
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:5].lower() == b"solid" and b"\0" not in head:
        return _ascii(path, size_bytes, bounds)
    if len(head) < BINARY_HEAD_BYTES:
        raise MeshFileError(
            f"the file has {size_bytes} bytes, an STL header alone has 84",
            code="file.truncated",
            remedy="export or copy it again",
        )
    raise _wrong_length(_claimed(head), size_bytes)


def _claimed(head: bytes) -> int:
    return int(struct.unpack_from("<I", head, 80)[0])


def _binary(triangles: int, size_bytes: int, bounds: GateBounds) -> GateFacts:
    if triangles == 0:
        raise MeshFileError("the STL holds no facet", code="mesh.empty", remedy="export it again")
    if triangles > bounds.max_triangles:
        raise MeshFileError(
            f"{triangles} triangles, more than {bounds.max_triangles}",
            code="file.too_large",
            remedy="reduce the number of triangles",
        )
    return GateFacts(MeshFormat.STL_BINARY, size_bytes, triangles)


def _wrong_length(claimed: int, size_bytes: int) -> MeshFileError:
    present, rest = divmod(size_bytes - BINARY_HEAD_BYTES, FACET_BYTES)
    if claimed > present:
        return MeshFileError(
            f"the header promises {claimed} facets, the file ends after {present}",
            code="file.truncated",
            remedy="copy or export it again",
        )
    extra = f" and {rest} bytes" if rest else ""
    return MeshFileError(
        f"the header promises {claimed} facets, the file has room for {present}{extra}",
        code="file.count_mismatch",
        remedy="export it again: nobody can know which is right",
    )


def _ascii(path: Path, size_bytes: int, bounds: GateBounds) -> GateFacts:
    words = {b"endfacet": 0, b"vertex": 0, b"endsolid": 0}
    carry = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            if b"\0" in block:
                raise MeshFileError(
                    "the file begins as STL text and goes on with binary data",
                    code="file.malformed",
                    remedy="export it again",
                )
            text = carry + block.lower()
            # Cut at the end of a line: no word lies across the border.
            cut = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
            carry = text[cut:]
            if len(carry) > _BLOCK_BYTES:
                raise MeshFileError("the STL text has no lines", code="file.malformed")
            for word in words:
                words[word] += text.count(word, 0, cut)
    for word in words:
        words[word] += carry.count(word)
    return _ascii_facts(words, size_bytes, bounds)


def _ascii_facts(words: dict[bytes, int], size_bytes: int, bounds: GateBounds) -> GateFacts:
    facets, vertices = words[b"endfacet"], words[b"vertex"]
    if facets == 0 and vertices == 0:
        raise MeshFileError("the STL text holds no facet", code="mesh.empty", remedy="export it again")
    if words[b"endsolid"] == 0:
        raise MeshFileError(
            "the STL text ends before `endsolid`", code="file.truncated", remedy="copy or export it again"
        )
    if vertices != 3 * facets:
        raise MeshFileError(
            f"the STL text has {vertices} vertices for {facets} facets, not three each",
            code="file.malformed",
            remedy="export it again",
        )
    if facets > bounds.max_triangles:
        raise MeshFileError(f"{facets} triangles, more than {bounds.max_triangles}", code="file.too_large")
    return GateFacts(MeshFormat.STL_ASCII, size_bytes, facets)
