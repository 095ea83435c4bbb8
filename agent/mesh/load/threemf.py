"""3MF meshes to one indexed mesh: streamed, transformed by the gate's plan, converted to mm."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np

from agent.mesh.arrays import F64, I64
from agent.mesh.errors import MeshFileError
from agent.mesh.gate.archive import member_blocks, model_archive
from agent.mesh.gate.bounds import DEFAULT_BOUNDS, GateBounds
from agent.mesh.gate.facts import Matrix, Plan
from agent.mesh.gate.xml import Attributes, UnusualMeshError, parse
from agent.mesh.load.numbers import floats, integers
from agent.mesh.load.source import IndexedSource, indexed

_TABLE_TO_BLANK = bytes.maketrans(b'xyz="/<>\t\r\n', b" " * 11)
_EQUALS = ord("=")
_QUOTE = ord('"')


def read_3mf(
    path: Path, plan: Plan, scale: float = 1.0, bounds: GateBounds = DEFAULT_BOUNDS
) -> IndexedSource:
    """Return everything on the build plate as one mesh in mm (times `scale`). Raises MeshFileError."""
    wanted: dict[str, set[str]] = {}
    for instance in plan.instances:
        wanted.setdefault(instance.part, set()).add(instance.object_id)
    meshes: dict[tuple[str, str], tuple[F64, I64]] = {}
    with model_archive(path, bounds) as archive:
        for part, ids in wanted.items():
            meshes |= _read_part(archive, part, ids, bounds)
    return _assembled(plan, meshes, scale)


def _assembled(plan: Plan, meshes: dict[tuple[str, str], tuple[F64, I64]], scale: float) -> IndexedSource:
    vertices: list[F64] = []
    faces: list[I64] = []
    first = 0
    for instance in plan.instances:
        points, triangles = meshes[instance.part, instance.object_id]
        moved, is_mirrored = _moved(points, instance.chain)
        unit_mm = plan.unit_mm.get(instance.part, 1.0)
        vertices.append(moved if unit_mm == 1.0 else moved * unit_mm)
        faces.append((triangles[:, ::-1] if is_mirrored else triangles) + first)
        first += len(points)
    return indexed(np.concatenate(vertices), np.concatenate(faces), scale)


def _moved(points: F64, chain: tuple[Matrix, ...]) -> tuple[F64, bool]:
    """Apply transforms, innermost first; tell whether they turn the mesh inside out."""
    is_mirrored = False
    for numbers in chain:
        matrix = np.array(numbers).reshape(4, 3)
        determinant = float(np.linalg.det(matrix[:3]))
        if determinant == 0.0:
            raise MeshFileError("a transform of the 3MF flattens its object", code="file.malformed")
        is_mirrored ^= determinant < 0
        points = points @ matrix[:3] + matrix[3]
    return points, is_mirrored


def _read_part(
    archive: zipfile.ZipFile, part: str, ids: set[str], bounds: GateBounds
) -> dict[tuple[str, str], tuple[F64, I64]]:
    reader = parse(lambda: member_blocks(archive, part, bounds), lambda: _MeshReader(ids), bounds)
    if not isinstance(reader, _MeshReader):
        raise TypeError(part)
    return {(part, identity): mesh for identity, mesh in reader.meshes.items()}


class _MeshReader:
    """Collects vertices and triangles of the wanted objects, from raw blocks or from elements."""

    def __init__(self, ids: set[str]) -> None:
        self.meshes: dict[str, tuple[F64, I64]] = {}
        self._ids = ids
        self._object = ""
        self._points: list[F64] = []
        self._faces: list[I64] = []
        self._words: list[str] = []
        self._corners: list[str] = []
        self._in_triangles = False

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element; vertices and triangles come this way only in unusual files."""
        try:
            if name == "vertex":
                self._words += (attributes["x"], attributes["y"], attributes["z"])
            elif name == "triangle":
                self._corners += (attributes["v1"], attributes["v2"], attributes["v3"])
        except KeyError as missing:
            raise MeshFileError(f"a {name} of the 3MF has no {missing}", code="file.malformed") from None
        if name == "object":
            self._object = attributes.get("id", "")
        elif name == "mesh":
            self._points, self._faces, self._words, self._corners = [], [], [], []
            self._in_triangles = False

    def end(self, name: str) -> None:
        """Finish a mesh."""
        if name != "mesh" or self._object not in self._ids:
            return
        if self._words:
            self._points.append(_points(" ".join(self._words).encode()))
        if self._corners:
            self._faces.append(_faces(" ".join(self._corners).encode()))
        points = np.concatenate([np.empty((0, 3)), *self._points])
        faces = np.concatenate([np.empty((0, 3), dtype=np.int64), *self._faces])
        if len(faces) and (faces.min() < 0 or faces.max() >= len(points)):
            raise MeshFileError(
                "a triangle of the 3MF names a vertex that is not there", code="file.malformed"
            )
        self.meshes[self._object] = (points, faces)

    def mesh_bytes(self, block: bytes, *, is_last: bool) -> None:
        """Take raw bytes between `<mesh>` and `</mesh>`, cut before a tag."""
        del is_last
        if self._object not in self._ids:
            return
        if not self._in_triangles:
            border = block.find(b"<triangles")
            if border < 0:
                self._vertices(block)
                return
            self._vertices(block[:border])
            self._in_triangles = True
            block = block[block.find(b">", border) + 1 :]
        end = block.find(b"</triangles")
        rest = block if end < 0 else block[:end]
        if end >= 0 and block[end:].count(b"<") > 1:
            raise UnusualMeshError
        self._triangles(rest)

    def _vertices(self, block: bytes) -> None:
        text = block.replace(b"<vertices>", b"").replace(b"</vertices>", b"")
        count = text.count(b"<vertex")
        _demand_plain(text, count, b"xyz")
        if count:
            text = text.replace(b"<vertex", b"").translate(_TABLE_TO_BLANK)
            self._points.append(floats(text, 3 * count, "3MF vertices").reshape(-1, 3))

    def _triangles(self, block: bytes) -> None:
        count = block.count(b"<triangle")
        if block.count(b"=") != 3 * count:
            block = _without_properties(block, count)
        _demand_plain(block, count, b"123")
        if count:
            for word in (b"<triangle", b"v1=", b"v2=", b"v3="):
                block = block.replace(word, b"")
            self._faces.append(
                integers(block.translate(_TABLE_TO_BLANK), 3 * count, "3MF triangles").reshape(-1, 3)
            )


def _without_properties(block: bytes, count: int) -> bytes:
    """Leave only the corners of triangles that also carry colours or materials."""
    corners = re.findall(rb'<triangle\s+v1="(\d+)"\s+v2="(\d+)"\s+v3="(\d+)"[^<>]*/>', block)
    if len(corners) != count:
        raise UnusualMeshError
    return b"".join(b'<triangle v1="%b" v2="%b" v3="%b"/>' % corner for corner in corners)


def _demand_plain(block: bytes, count: int, order: bytes) -> None:
    """Attributes come as x, y, z (or v1, v2, v3) and nothing else is there, else the slow reader must do it."""
    if block.count(b"<") != count:
        raise UnusualMeshError
    letters = np.frombuffer(block, dtype=np.uint8)
    equals = np.flatnonzero(letters == _EQUALS)
    # In a block cut before a tag an equals sign is neither first nor last.
    if len(equals) != 3 * count or block[:1] == b"=" or block[-1:] == b"=":
        raise UnusualMeshError
    if not (letters[equals + 1] == _QUOTE).all():
        raise UnusualMeshError
    names = letters[equals - 1].reshape(-1, 3)
    if not (names == np.frombuffer(order, dtype=np.uint8)).all():
        raise UnusualMeshError


def _points(text: bytes) -> F64:
    return floats(text, len(text.split()), "3MF vertices").reshape(-1, 3)


def _faces(text: bytes) -> I64:
    return integers(text, len(text.split()), "3MF triangles").reshape(-1, 3)
