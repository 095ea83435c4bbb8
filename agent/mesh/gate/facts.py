"""What the gate knows of a file before a parser sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class MeshFormat(StrEnum):
    """The formats that can be read; STL has two."""

    STL_BINARY = "stl"
    STL_ASCII = "stl-ascii"
    THREE_MF = "3mf"
    OBJ = "obj"
    PLY = "ply"
    OFF = "off"
    AMF = "amf"
    STEP = "step"

    @property
    def has_unit(self) -> bool:
        """The format says what a number means; the others hold bare numbers."""
        return self in (MeshFormat.THREE_MF, MeshFormat.AMF, MeshFormat.STEP)


Matrix = tuple[float, ...]  # 12 numbers of a 3MF transform, row by row; points are multiplied from the left
IDENTITY: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Instance:
    """One mesh placed once: `object_id` of the model part `part`, moved by `chain` (innermost first)."""

    part: str
    object_id: str
    chain: tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A 3MF multiplied out: placed meshes, and how many mm one unit of each part is."""

    instances: tuple[Instance, ...]
    unit_mm: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateFacts:
    """A file that may be parsed. `triangles` is exact for binary STL, an upper bound or None for the others."""

    format: MeshFormat
    size_bytes: int
    triangles: int | None = None
    plan: Plan | None = None
