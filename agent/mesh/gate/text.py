"""OBJ, PLY, OFF and AMF: what the headers claim against what the file can hold."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.archive import Blocks, is_zip, member_blocks, model_archive
from agent.mesh.gate.bounds import GateBounds
from agent.mesh.gate.facts import GateFacts, MeshFormat

_BLOCK_BYTES = 1 << 20
_PLY_SIZES = {
    "char": 1, "int8": 1, "uchar": 1, "uint8": 1, "short": 2, "int16": 2, "ushort": 2, "uint16": 2,
    "int": 4, "int32": 4, "uint": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8,
}  # fmt: skip
_MIN_TEXT_NUMBER_BYTES = 2  # a digit and a separator
_ELEMENT = re.compile(r"element\s+(\S+)\s+(-?\d+)")


def blocks(path: Path) -> Blocks:
    """Yield a file in blocks of a megabyte."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def inspect_obj(path: Path, size_bytes: int, bounds: GateBounds) -> GateFacts:
    """Return the facts of an OBJ: `triangles` counts its face lines, polygons may give more."""
    faces = vertices = 0
    last = b"\n"
    for block in blocks(path):
        text = last + block
        faces += text.count(b"\nf ") + text.count(b"\nf\t") + text.count(b"\rf ")
        vertices += text.count(b"\nv ") + text.count(b"\nv\t") + text.count(b"\rv ")
        last = text[-2:] if text[-2:-1] in b"\r\n" else text[-1:]
    if faces == 0 or vertices < 3:
        raise MeshFileError("the OBJ holds no face", code="mesh.empty", remedy="export it as a mesh")
    _check_triangles(faces, bounds)
    return GateFacts(MeshFormat.OBJ, size_bytes, faces)


def inspect_ply(path: Path, size_bytes: int, bounds: GateBounds) -> GateFacts:
    """Return the facts of a PLY whose counts its bytes can hold."""
    with path.open("rb") as file:
        head = file.read(bounds.max_header_bytes)
    end = head.find(b"end_header")
    if end < 0:
        raise MeshFileError("the PLY header has no end", code="file.malformed")
    text = head[:end].decode("ascii", "replace")
    is_ascii = "format ascii" in text
    least = _ply_least_bytes(text, is_ascii=is_ascii, bounds=bounds)
    if least > size_bytes - end:
        raise MeshFileError(
            f"the PLY header promises at least {least} bytes, the file has {size_bytes - end}",
            code="file.truncated",
            remedy="copy or export it again",
        )
    faces = _count(text, "face")
    if faces == 0 or _count(text, "vertex") < 3:
        raise MeshFileError("the PLY holds no face", code="mesh.empty", remedy="export it as a mesh")
    _check_triangles(faces, bounds)
    return GateFacts(MeshFormat.PLY, size_bytes, faces)


def _count(text: str, element: str) -> int:
    return next((int(count) for name, count in _ELEMENT.findall(text) if name == element), 0)


def _ply_least_bytes(text: str, *, is_ascii: bool, bounds: GateBounds) -> int:
    total = count = 0
    is_face = False
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["element"] and len(words) == 3:
            count = int(words[2]) if words[2].lstrip("-").isdigit() else -1
            is_face = words[1] == "face"
            if not 0 <= count <= 4 * bounds.max_triangles:
                raise MeshFileError(
                    f"the PLY header promises {words[2][:20]} of {words[1][:20]!r}", code="file.truncated"
                )
        elif words[:1] == ["property"] and len(words) >= 3:
            kind = words[2] if words[1] == "list" else words[1]
            if kind not in _PLY_SIZES:
                raise MeshFileError(f"the PLY has a property of type {kind[:20]!r}", code="file.malformed")
            total += count * (_MIN_TEXT_NUMBER_BYTES if is_ascii else _PLY_SIZES[kind])
            if words[1] == "list" and is_face:
                # A face has three corners at the least.
                total += 3 * count * (_MIN_TEXT_NUMBER_BYTES if is_ascii else _PLY_SIZES.get(words[3], 1))
    return total


def inspect_off(path: Path, size_bytes: int, bounds: GateBounds) -> GateFacts:
    """Return the facts of an OFF whose counts its bytes can hold."""
    with path.open("rb") as file:
        head = file.read(bounds.max_header_bytes)
    words = re.sub(rb"#[^\n\r]*", b"", head).split()[:4]
    try:
        counts = [int(word) for word in words[1:3]]
    except ValueError:
        counts = []
    if len(counts) < 2 or min(counts) < 0:
        raise MeshFileError("the OFF header has no sound counts", code="file.malformed")
    vertices, faces = counts
    # A vertex is three numbers, a face its length and at least three indices.
    if (3 * vertices + 4 * faces) * _MIN_TEXT_NUMBER_BYTES > size_bytes and b"BINARY" not in head[:16]:
        raise MeshFileError(
            f"the OFF header promises {vertices} vertices and {faces} faces, the file is too short",
            code="file.truncated",
        )
    if faces == 0 or vertices < 3:
        raise MeshFileError("the OFF holds no face", code="mesh.empty")
    _check_triangles(faces, bounds)
    return GateFacts(MeshFormat.OFF, size_bytes, faces)


def inspect_amf(path: Path, size_bytes: int, bounds: GateBounds) -> GateFacts:
    """Return the facts of an AMF, zipped or not: no document type, no entities, countable triangles."""
    with path.open("rb") as file:
        packed = is_zip(file.read(4))
    triangles = 0
    carry = b""
    with closing(amf_blocks(path, bounds) if packed else blocks(path)) as stream:
        for block in stream:
            text = carry + block
            if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
                raise MeshFileError("the AMF declares a document type", code="file.hostile")
            triangles += text.count(b"<triangle>") + text.count(b"<triangle ")
            carry = text[-9:]  # one byte less than the shortest word: nothing is counted twice
    if triangles == 0:
        raise MeshFileError("the AMF holds no triangle", code="mesh.empty")
    _check_triangles(triangles, bounds)
    return GateFacts(MeshFormat.AMF, size_bytes, triangles)


def amf_blocks(path: Path, bounds: GateBounds) -> Blocks:
    """Yield the only document of a zipped AMF in blocks."""
    with model_archive(path, bounds) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if len(names) != 1:
            raise MeshFileError(f"the zipped AMF holds {len(names)} files, not one", code="file.malformed")
        yield from member_blocks(archive, names[0], bounds)


def _check_triangles(count: int, bounds: GateBounds) -> None:
    if count > bounds.max_triangles:
        raise MeshFileError(
            f"{count} faces, more than {bounds.max_triangles}",
            code="file.too_large",
            remedy="reduce the number of triangles",
        )
