"""AMF, zipped or plain: objects, constellations (placed copies), units."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from agent.mesh.arrays import F64, I64
from agent.mesh.errors import MeshFileError
from agent.mesh.gate.archive import Blocks, is_zip
from agent.mesh.gate.bounds import DEFAULT_BOUNDS, GateBounds
from agent.mesh.gate.text import amf_blocks, blocks
from agent.mesh.load.numbers import floats, integers
from agent.mesh.load.source import IndexedSource, indexed

_UNITS_MM = {
    "millimeter": 1.0, "millimetre": 1.0, "mm": 1.0, "inch": 25.4, "feet": 304.8, "meter": 1000.0,
    "metre": 1000.0, "micrometer": 0.001, "micron": 0.001,
}  # fmt: skip
_NUMBERS = frozenset({"x", "y", "z", "v1", "v2", "v3", "deltax", "deltay", "deltaz", "rx", "ry", "rz"})
_MOVES = frozenset({"deltax", "deltay", "deltaz", "rx", "ry", "rz"})


@dataclass(slots=True)
class _Object:
    points: list[str] = field(default_factory=list)
    corners: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Placed:
    object_id: str
    moves: dict[str, float] = field(default_factory=dict)


def read_amf(path: Path, scale: float = 1.0, bounds: GateBounds = DEFAULT_BOUNDS) -> IndexedSource:
    """Return everything in the AMF as one mesh in mm (times `scale`). Raises MeshFileError."""
    with path.open("rb") as file:
        packed = is_zip(file.read(4))
    reader = _Reader(bounds)
    reader.read(amf_blocks(path, bounds) if packed else blocks(path))
    vertices: list[F64] = []
    faces: list[I64] = []
    first = 0
    for placed in reader.placed or [_Placed(identity) for identity in reader.objects]:
        made = reader.objects.get(placed.object_id)
        if made is None:
            raise MeshFileError("the AMF places an object that it does not have", code="file.malformed")
        points = floats(" ".join(made.points).encode(), len(made.points), "AMF vertices")
        corners = integers(" ".join(made.corners).encode(), len(made.corners), "AMF triangles")
        if len(points) % 3 or len(corners) % 3:
            raise MeshFileError("a vertex or triangle of the AMF is incomplete", code="file.malformed")
        if len(corners) and (corners.min() < 0 or corners.max() >= len(points) // 3):
            raise MeshFileError(
                "a triangle of the AMF names a vertex that is not there", code="file.malformed"
            )
        vertices.append(_moved(points.reshape(-1, 3), placed.moves))
        faces.append(corners.reshape(-1, 3) + first)
        first += len(points) // 3
    if not faces:
        raise MeshFileError("the AMF holds no object", code="mesh.empty")
    return indexed(np.concatenate(vertices), np.concatenate(faces), scale * reader.unit_mm)


def _moved(points: F64, moves: dict[str, float]) -> F64:
    """Turn about x, y, z in degrees, then shift (ISO/ASTM 52915, constellation)."""
    for axis, name in enumerate(("rx", "ry", "rz")):
        angle = math.radians(moves.get(name, 0.0))
        if angle:
            u, v = (axis + 1) % 3, (axis + 2) % 3
            turned = points.copy()
            turned[:, u] = math.cos(angle) * points[:, u] - math.sin(angle) * points[:, v]
            turned[:, v] = math.sin(angle) * points[:, u] + math.cos(angle) * points[:, v]
            points = turned
    shift = np.array([moves.get(name, 0.0) for name in ("deltax", "deltay", "deltaz")])
    return np.asarray(points + shift)


class _Reader:
    """Collects objects and instances from expat's events."""

    def __init__(self, bounds: GateBounds) -> None:
        self.unit_mm = 1.0
        self.objects: dict[str, _Object] = {}
        self.placed: list[_Placed] = []
        self._bounds = bounds
        self._depth = 0
        self._text: list[str] | None = None
        self._path: list[str] = []

    def read(self, chunks: Blocks) -> None:
        """Parse a document. Raises MeshFileError."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            with closing(chunks):
                for chunk in chunks:
                    parser.Parse(chunk)
            parser.Parse(b"", True)  # noqa: FBT003 - expat takes no keywords
        except expat.ExpatError as error:
            raise MeshFileError(f"the XML is not well-formed: {error}", code="file.malformed") from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > self._bounds.max_xml_depth:
            raise MeshFileError("the XML is nested too deep", code="file.hostile")
        self._path.append(name)
        if name == "amf":
            self.unit_mm = _unit(attributes.get("unit", "millimeter"))
        elif name == "object":
            self.objects[attributes.get("id", str(len(self.objects)))] = _Object()
        elif name == "instance":
            self.placed.append(_Placed(attributes.get("objectid", "")))
            if len(self.placed) > self._bounds.max_instances:
                raise MeshFileError("the AMF places too many objects", code="file.hostile")
        self._text = [] if name in _NUMBERS else None

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._path.pop()
        if self._text is None:
            return
        word, self._text = "".join(self._text).strip(), None
        if name in _MOVES and self.placed:
            self.placed[-1].moves[name] = float(floats(word.encode(), 1, f"AMF {name}")[0])
        elif self.objects and "mesh" in self._path:
            made = self.objects[next(reversed(self.objects))]
            if name in ("x", "y", "z") and "coordinates" in self._path:
                made.points.append(word)
            elif name in ("v1", "v2", "v3") and "triangle" in self._path:
                made.corners.append(word)

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _doctype(self, *_: object) -> None:
        raise MeshFileError("the AMF declares a document type", code="file.hostile")


def _unit(name: str) -> float:
    if name.lower() not in _UNITS_MM:
        raise MeshFileError(f"the AMF has the unit {name[:20]!r}", code="file.malformed")
    return _UNITS_MM[name.lower()]
