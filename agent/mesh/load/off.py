"""OFF text: positions and polygons; colours and normals are skipped."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from agent.mesh.errors import MeshFileError
from agent.mesh.load.numbers import floats, integers
from agent.mesh.load.source import IndexedSource, fan, indexed

_REMARK = re.compile(rb"#[^\n]*")
_WORD = re.compile(rb"(?:ST)?C?N?OFF\b")


def read_off(path: Path, scale: float = 1.0) -> IndexedSource:
    """Return the mesh of an OFF that passed the gate. Raises MeshFileError."""
    text = _REMARK.sub(b"", path.read_bytes().replace(b"\r", b"\n")).lstrip()
    head = _WORD.match(text)
    body = text[head.end() :] if head else text
    if b"BINARY" in body[:16]:
        raise MeshFileError("binary OFF is not read", code="file.unsupported", remedy="use binary STL")
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise MeshFileError("the OFF ends after its first word", code="file.truncated")
    vertices, faces = (int(number) for number in integers(b" ".join(lines[0].split()[:2]), 2, "OFF header"))
    if len(lines) < 1 + vertices + faces:
        raise MeshFileError("the OFF ends before its data", code="file.truncated")
    points = b" ".join(b" ".join(line.split()[:3]) for line in lines[1 : 1 + vertices])
    positions = floats(points, 3 * vertices, "OFF vertices").reshape(-1, 3)
    lengths: list[int] = []
    words: list[bytes] = []
    for line in lines[1 + vertices : 1 + vertices + faces]:
        parts = line.split()
        length = int(parts[0]) if parts[0].isdigit() else -1
        if length < 0 or len(parts) < length + 1:
            raise MeshFileError("a face of the OFF is shorter than it says", code="file.malformed")
        lengths.append(length)
        words += parts[1 : length + 1]
    corners = integers(b" ".join(words), len(words), "OFF faces")
    return indexed(positions, fan(np.array(lengths, dtype=np.int64), corners), scale)
