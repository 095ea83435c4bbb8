"""How much a mesh file may hold. Each number bounds memory or time of the readers behind the gate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateBounds:
    """Limits of the gate; sizes in bytes.

    `max_triangles`: 10 million take about 700 MB while they are read. `max_member_bytes`: XML of 10 million triangles.
    `max_ratio`: real 3MF members compress about 5:1, bombs 1000:1; small members are exempt. `max_instances`: placed
    meshes of one 3MF after its components are multiplied out.
    """

    max_file_bytes: int = 1 << 30
    max_triangles: int = 10_000_000
    max_member_bytes: int = 2 << 30
    max_members: int = 4096
    max_ratio: int = 200
    ratio_exempt_bytes: int = 1 << 20
    max_instances: int = 4096
    max_objects: int = 20_000
    max_xml_depth: int = 32
    max_component_depth: int = 16
    max_header_bytes: int = 1 << 16


DEFAULT_BOUNDS = GateBounds()
