"""PLY: text, little and big endian; only positions and faces are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from agent.mesh.arrays import F64, I64
from agent.mesh.errors import MeshFileError
from agent.mesh.load.numbers import floats
from agent.mesh.load.source import IndexedSource, fan, indexed

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_INDEX_NAMES = ("vertex_indices", "vertex_index")


@dataclass(frozen=True, slots=True)
class _Property:
    name: str
    kind: str
    length_kind: str = ""  # of a list


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read_ply(path: Path, scale: float = 1.0) -> IndexedSource:
    """Return the mesh of a PLY that passed the gate. Raises MeshFileError."""
    with path.open("rb") as file:
        order, elements = _header(file)
        reader = _AsciiBody(file.read()) if order == "" else _BinaryBody(file.read(), order)
    vertices, faces = np.empty((0, 3)), np.empty((0, 3), dtype=np.int64)
    for element in elements:
        if element.name == "vertex":
            vertices = _positions(reader.rows(element), element)
        elif element.name == "face":
            faces = reader.faces(element)
            break
        else:
            reader.skip(element)
    return indexed(vertices, faces, scale)


def _header(file: BinaryIO) -> tuple[str, list[_Element]]:
    order: str | None = None
    elements: list[_Element] = []
    for line in file:
        words = line.decode("ascii", "replace").split()
        if words[:1] == ["end_header"]:
            break
        if words[:1] == ["format"] and len(words) > 1:
            order = _ORDERS.get(words[1])
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2]), ()))
        elif words[:1] == ["property"] and elements:
            last = elements[-1]
            elements[-1] = _Element(last.name, last.count, (*last.properties, _property(words)))
    if order is None:
        raise MeshFileError("the PLY names no format that is known", code="file.malformed")
    return order, elements


def _property(words: list[str]) -> _Property:
    try:
        if words[1] == "list":
            return _Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
        return _Property(words[2], _TYPES[words[1]])
    except (IndexError, KeyError):
        raise MeshFileError("a property of the PLY cannot be read", code="file.malformed") from None


def _positions(rows: dict[str, F64], element: _Element) -> F64:
    if not {"x", "y", "z"} <= set(rows):
        raise MeshFileError("the PLY's vertices have no x, y, z", code="file.malformed")
    del element
    return np.stack([rows["x"], rows["y"], rows["z"]], axis=1)


class _BinaryBody:
    """Reads elements one after the other from bytes."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._at = 0

    def rows(self, element: _Element) -> dict[str, F64]:
        """Return the columns of an element without lists."""
        if any(prop.length_kind for prop in element.properties):
            raise MeshFileError(f"the PLY has lists in {element.name[:20]!r}", code="file.unsupported")
        kind = np.dtype([(f"{n}", self._order + prop.kind) for n, prop in enumerate(element.properties)])
        table = np.frombuffer(self._take(kind.itemsize * element.count), kind)
        return {prop.name: table[f"{n}"].astype(np.float64) for n, prop in enumerate(element.properties)}

    def faces(self, element: _Element) -> I64:
        """Return triangles; as one table when every face has three corners, else polygon by polygon."""
        fields: list[tuple[str, str] | tuple[str, str, int]] = []
        for n, prop in enumerate(element.properties):
            if prop.length_kind:
                fields += [(f"n{n}", self._order + prop.length_kind), (f"{n}", self._order + prop.kind, 3)]
            else:
                fields.append((f"{n}", self._order + prop.kind))
        at = _index_position(element)
        kind = np.dtype(fields)
        size = kind.itemsize * element.count
        if (
            sum(bool(prop.length_kind) for prop in element.properties) == 1
            and len(self._data) - self._at >= size
        ):
            table = np.frombuffer(self._data, kind, element.count, self._at)
            if (table[f"n{at}"] == 3).all():
                self._at += size
                return table[f"{at}"].astype(np.int64)
        return self._polygons(element, at)

    def skip(self, element: _Element) -> None:
        """Go past an element before the faces."""
        self.rows(element)

    def _polygons(self, element: _Element, at: int) -> I64:
        lengths, corners = [], []
        for _ in range(element.count):
            for n, prop in enumerate(element.properties):
                length = 1
                if prop.length_kind:
                    length = int(self._numbers(prop.length_kind, 1)[0])
                values = self._numbers(prop.kind, length)
                if n == at:
                    lengths.append(length)
                    corners.append(values.astype(np.int64))
        return fan(np.array(lengths, dtype=np.int64), np.concatenate(corners))

    def _numbers(self, kind: str, count: int) -> F64:
        found = np.dtype(self._order + kind)
        return np.frombuffer(self._take(found.itemsize * count), found).astype(np.float64)

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if size < 0 or len(piece) != size:
            raise MeshFileError("the PLY ends before its data", code="file.truncated")
        self._at += size
        return piece


class _AsciiBody:
    """Reads elements line by line."""

    def __init__(self, data: bytes) -> None:
        self._lines = data.replace(b"\r", b"\n").split(b"\n")
        self._lines = [line for line in self._lines if line.strip()]
        self._at = 0

    def rows(self, element: _Element) -> dict[str, F64]:
        """Return the columns of an element without lists."""
        names = [prop.name for prop in element.properties]
        text = b" ".join(self._take(element.count))
        table = floats(text, len(names) * element.count, f"PLY {element.name[:20]}").reshape(-1, len(names))
        return {name: table[:, n] for n, name in enumerate(names)}

    def faces(self, element: _Element) -> I64:
        """Return triangles of faces whose index list comes first in its line."""
        if _index_position(element) != 0:
            raise MeshFileError("the PLY's faces do not begin with their corners", code="file.unsupported")
        lengths: list[int] = []
        words: list[bytes] = []
        for line in self._take(element.count):
            parts = line.split()
            length = int(parts[0]) if parts[0].isdigit() else -1
            if length < 0 or len(parts) < length + 1:
                raise MeshFileError("a face of the PLY is shorter than it says", code="file.malformed")
            lengths.append(length)
            words += parts[1 : length + 1]
        corners = floats(b" ".join(words), len(words), "PLY faces").astype(np.int64)
        return fan(np.array(lengths, dtype=np.int64), corners)

    def skip(self, element: _Element) -> None:
        """Go past an element before the faces."""
        self._take(element.count)

    def _take(self, count: int) -> list[bytes]:
        lines = self._lines[self._at : self._at + count]
        if len(lines) != count:
            raise MeshFileError("the PLY ends before its data", code="file.truncated")
        self._at += count
        return lines


def _index_position(element: _Element) -> int:
    for n, prop in enumerate(element.properties):
        if prop.length_kind and prop.name in _INDEX_NAMES:
            return n
    raise MeshFileError("the PLY's faces have no vertex indices", code="file.malformed")
