"""OBJ: vertices and faces; materials, normals, curves and every other file it names are left alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from agent.mesh.arrays import F64, I64
from agent.mesh.errors import MeshFileError
from agent.mesh.load.numbers import floats, integers
from agent.mesh.load.source import IndexedSource, fan, indexed

_VERTEX = re.compile(rb"^[ \t]*v[ \t]+([^\n#]*)", re.MULTILINE)
_FACE = re.compile(rb"^[ \t]*f[ \t]+([^\n#]*)", re.MULTILINE)
_SLASHES = re.compile(rb"/[^ \t\n]*")
MAX_BYTES = 256 << 20  # the text is held once as a whole; 3 million triangles


def read_obj(path: Path, scale: float = 1.0) -> IndexedSource:
    """Return the mesh of an OBJ. Raises MeshFileError."""
    text = path.read_bytes()
    if len(text) > MAX_BYTES:
        raise MeshFileError("an OBJ of this size is not read", code="file.too_large", remedy="use binary STL")
    text = text.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").replace(b"\r", b"\n")
    vertices = _vertices(_VERTEX.findall(text))
    faces = _faces(_FACE.findall(text), len(vertices))
    return indexed(vertices, faces, scale)


def _vertices(lines: list[bytes]) -> F64:
    joined = b" ".join(lines)
    words = len(joined.split())
    columns = words // max(1, len(lines))
    if columns in (3, 4, 6, 7) and words == columns * len(lines):
        return floats(joined, words, "OBJ vertices").reshape(-1, columns)[:, :3]
    rows = [line.split()[:3] for line in lines]
    if any(len(row) < 3 for row in rows):
        raise MeshFileError("a vertex of the OBJ has less than three numbers", code="file.malformed")
    return floats(b" ".join(b" ".join(row) for row in rows), 3 * len(rows), "OBJ vertices").reshape(-1, 3)


def _faces(lines: list[bytes], vertices: int) -> I64:
    """Count from 1, or back from the last vertex; the latter is resolved as if all vertices came first."""
    stripped = [_SLASHES.sub(b"", line) for line in lines]
    lengths = np.array([len(line.split()) for line in stripped], dtype=np.int64)
    corners = integers(b" ".join(stripped), int(lengths.sum()), "OBJ faces")
    if (corners < 0).any():
        if vertices < -int(corners.min()):
            raise MeshFileError(
                "a face of the OBJ counts back beyond the first vertex", code="file.malformed"
            )
        corners = np.where(corners < 0, corners + vertices + 1, corners)
    if (corners == 0).any():
        raise MeshFileError("a face of the OBJ names vertex 0; they count from 1", code="file.malformed")
    return fan(lengths, corners - 1)
