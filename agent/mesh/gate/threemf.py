"""3MF: the package's relations, and its build multiplied out by counting before anything is made."""

from __future__ import annotations

import math
import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.archive import member_blocks, model_archive
from agent.mesh.gate.bounds import GateBounds
from agent.mesh.gate.facts import IDENTITY, GateFacts, Instance, Matrix, MeshFormat, Plan
from agent.mesh.gate.xml import Attributes, parse

_CONTENT_TYPES = "[Content_Types].xml"
_SLICED_PLATE = re.compile(r"Metadata/[^/]{1,100}\.gcode")
_MODEL_RELATION = "/3dmodel"
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")  # a scheme, a drive, a host
_UNITS_MM = {
    "micron": 0.001, "millimeter": 1.0, "centimeter": 10.0, "inch": 25.4, "foot": 304.8, "meter": 1000.0,
}  # fmt: skip
_PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06 path"


@dataclass(frozen=True, slots=True)
class Reference:
    """A build item or a component: which object, where."""

    part: str
    object_id: str
    transform: Matrix


@dataclass(slots=True)
class ObjectShape:
    """An object: own triangles, or components."""

    triangles: int = 0
    components: list[Reference] = field(default_factory=list)
    is_printed: bool = True


@dataclass(slots=True)
class PartShape:
    """One model part of the package."""

    unit_mm: float = 1.0
    objects: dict[str, ObjectShape] = field(default_factory=dict)
    items: list[Reference] = field(default_factory=list)


def inspect_3mf(path: Path, size_bytes: int, bounds: GateBounds) -> GateFacts:
    """Return the facts of a 3MF with its build plan. Raises MeshFileError."""
    with model_archive(path, bounds) as archive:
        _refuse_sliced(archive)
        _demand_content_types(archive, bounds)
        root = _root_part(archive, bounds)
        _refuse_external(archive, bounds)
        parts = _read_parts(archive, root, bounds)
    plan, triangles = _expand(parts, root, bounds)
    if triangles == 0:
        raise MeshFileError("nothing is on the build plate of the 3MF", code="mesh.empty")
    return GateFacts(MeshFormat.THREE_MF, size_bytes, triangles, plan)


def _refuse_sliced(archive: zipfile.ZipFile) -> None:
    """Refuse a `.gcode.3mf`: who sends it wants the G-code in it, made for another printer, not its meshes."""
    if any(_SLICED_PLATE.fullmatch(name) for name in archive.namelist()):
        raise MeshFileError(
            "the file is sliced already: a .gcode.3mf archive for Bambu printers",
            code="file.unsupported",
            remedy="export plain .gcode for this printer from the slicer, or the part itself as 3MF or STL",
        )


def _demand_content_types(archive: zipfile.ZipFile, bounds: GateBounds) -> None:
    """Read the list of content types, which every package has (ECMA-376 part 2): damage shows here first."""
    if _CONTENT_TYPES not in archive.namelist():
        raise MeshFileError(
            f"the 3MF has no {_CONTENT_TYPES}", code="file.malformed", remedy="export it again"
        )
    parse(lambda: member_blocks(archive, _CONTENT_TYPES, bounds), _Relations, bounds)


def _root_part(archive: zipfile.ZipFile, bounds: GateBounds) -> str:
    for relation in _relations(archive, "_rels/.rels", bounds):
        if relation.get("Type", "").endswith(_MODEL_RELATION):
            target = relation.get("Target", "").lstrip("/")
            if target not in archive.namelist():
                raise MeshFileError(
                    f"the 3MF names a model part that is not in it: {target[:80]!r}", code="file.malformed"
                )
            return target
    raise MeshFileError("the archive names no 3D model: this is no 3MF", code="file.malformed")


def _refuse_external(archive: zipfile.ZipFile, bounds: GateBounds) -> None:
    for name in archive.namelist():
        if name.endswith(".rels"):
            for relation in _relations(archive, name, bounds):
                target = relation.get("Target", "")
                if relation.get("TargetMode", "") == "External" or _ELSEWHERE.match(target):
                    raise MeshFileError(
                        f"the 3MF refers to something outside itself: {target[:80]!r}", code="file.hostile"
                    )


def _relations(archive: zipfile.ZipFile, name: str, bounds: GateBounds) -> list[Attributes]:
    if name not in archive.namelist():
        raise MeshFileError(f"the 3MF has no {name}", code="file.malformed")
    reader = parse(lambda: member_blocks(archive, name, bounds), _Relations, bounds)
    return reader.found if isinstance(reader, _Relations) else []


class _Relations:
    """Collects the relationships of a part."""

    def __init__(self) -> None:
        self.found: list[Attributes] = []

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "Relationship":
            self.found.append(attributes)

    def end(self, name: str) -> None:
        """Take no notice."""

    def mesh_bytes(self, block: bytes, *, is_last: bool) -> None:
        """Take no notice."""


def _read_parts(archive: zipfile.ZipFile, root: str, bounds: GateBounds) -> dict[str, PartShape]:
    parts: dict[str, PartShape] = {}
    wanted = [root]
    while wanted:
        name = wanted.pop()
        if name in parts:
            continue
        if name not in archive.namelist():
            raise MeshFileError(f"the 3MF has no part {name[:80]!r}", code="file.malformed")
        shape = _read_part(archive, name, bounds)
        parts[name] = shape
        references = [*shape.items, *(one for made in shape.objects.values() for one in made.components)]
        wanted += [reference.part for reference in references if reference.part not in parts]
    return parts


def _read_part(archive: zipfile.ZipFile, name: str, bounds: GateBounds) -> PartShape:
    reader = parse(lambda: member_blocks(archive, name, bounds), lambda: _PartReader(name, bounds), bounds)
    if not isinstance(reader, _PartReader):
        raise TypeError(name)
    return reader.shape


class _PartReader:
    """Collects objects, components and items; counts triangles without reading them."""

    def __init__(self, name: str, bounds: GateBounds) -> None:
        self.shape = PartShape()
        self._name = name
        self._bounds = bounds
        self._object = ObjectShape()

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "triangle":
            self._object.triangles += 1
        elif name == "object":
            self._open_object(attributes)
        elif name == "component":
            self._object.components.append(self._reference(attributes))
            self._demand(len(self._object.components), "components of one object")
        elif name == "item":
            if attributes.get("printable", "1") != "0":
                self.shape.items.append(self._reference(attributes))
                self._demand(len(self.shape.items), "build items")
        elif name == "model":
            unit = attributes.get("unit", "millimeter")
            if unit not in _UNITS_MM:
                raise MeshFileError(f"the 3MF has the unit {unit[:20]!r}", code="file.malformed")
            self.shape.unit_mm = _UNITS_MM[unit]

    def end(self, name: str) -> None:
        """Take no notice: the next object replaces this one."""

    def mesh_bytes(self, block: bytes, *, is_last: bool) -> None:
        del is_last
        self._object.triangles += block.count(b"<triangle") - block.count(b"<triangles")

    def _open_object(self, attributes: Attributes) -> None:
        identity = attributes.get("id", "")
        if not identity or identity in self.shape.objects:
            raise MeshFileError(f"the 3MF has two objects {identity[:20]!r}", code="file.malformed")
        self._object = ObjectShape(is_printed=attributes.get("type", "model") != "other")
        self.shape.objects[identity] = self._object
        self._demand(len(self.shape.objects), "objects")

    def _reference(self, attributes: Attributes) -> Reference:
        path = attributes.get(_PRODUCTION)
        part = posixpath.normpath(path.lstrip("/")) if path else self._name
        return Reference(part, attributes.get("objectid", ""), _matrix(attributes.get("transform")))

    def _demand(self, count: int, what: str) -> None:
        if count > self._bounds.max_objects:
            raise MeshFileError(
                f"the 3MF has more than {self._bounds.max_objects} {what}", code="file.hostile"
            )


def _matrix(text: str | None) -> Matrix:
    if text is None:
        return IDENTITY
    try:
        numbers = tuple(float(word) for word in text.split())
    except ValueError:
        numbers = ()
    if len(numbers) != 12:
        raise MeshFileError(f"a transform of the 3MF is not 12 numbers: {text[:80]!r}", code="file.malformed")
    if not all(math.isfinite(number) for number in numbers):
        raise MeshFileError("a transform of the 3MF is not finite", code="mesh.nonfinite")
    return numbers


def _expand(parts: dict[str, PartShape], root: str, bounds: GateBounds) -> tuple[Plan, int]:
    """Count first, with whole numbers of any size; place the meshes only when their number is sane."""
    counter = _Counter(parts, bounds)
    instances = triangles = 0
    for item in parts[root].items:
        placed, faces = counter.count(item, 0)
        instances, triangles = instances + placed, triangles + faces
    if instances > bounds.max_instances or triangles > bounds.max_triangles:
        code = "file.hostile" if instances > bounds.max_instances else "file.too_large"
        raise MeshFileError(
            f"the build of the 3MF comes to {_big(instances)} meshes with {_big(triangles)} triangles",
            code=code,
        )
    found = tuple(placed for item in parts[root].items for placed in _placed(parts, item, ()))
    return Plan(found, {name: shape.unit_mm for name, shape in parts.items()}), triangles


def _big(count: int) -> str:
    return str(count) if count < 10**9 else f"10^{len(str(count)) - 1}"


class _Counter:
    """How many meshes and triangles a reference stands for; each object is counted once."""

    def __init__(self, parts: dict[str, PartShape], bounds: GateBounds) -> None:
        self._parts = parts
        self._bounds = bounds
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        self._open: set[tuple[str, str]] = set()

    def count(self, reference: Reference, depth: int) -> tuple[int, int]:
        key = (reference.part, reference.object_id)
        if key in self._known:
            return self._known[key]
        shape = self._parts[reference.part].objects.get(reference.object_id)
        if shape is None:
            raise MeshFileError(
                f"the 3MF refers to an object {reference.object_id[:20]!r} that it does not have",
                code="file.malformed",
            )
        if key in self._open or depth > self._bounds.max_component_depth:
            raise MeshFileError("components of the 3MF contain each other", code="file.hostile")
        self._open.add(key)
        instances, triangles = int(shape.triangles > 0), shape.triangles
        for component in shape.components:
            placed, faces = self.count(component, depth + 1)
            instances, triangles = instances + placed, triangles + faces
        self._open.discard(key)
        self._known[key] = (instances, triangles) if shape.is_printed else (0, 0)
        return self._known[key]


def _placed(
    parts: dict[str, PartShape], reference: Reference, outer: tuple[Matrix, ...]
) -> Iterator[Instance]:
    shape = parts[reference.part].objects[reference.object_id]
    if not shape.is_printed:
        return
    chain = outer if reference.transform == IDENTITY else (reference.transform, *outer)
    if shape.triangles:
        yield Instance(reference.part, reference.object_id, chain)
    for component in shape.components:
        yield from _placed(parts, component, chain)
