"""Shapes with exact answers, and every format to write them in."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Faces = NDArray[np.int64]
Mesh = tuple[Points, Faces]

_CUBE_FACES = np.array([
    [0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
    [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7],
])  # fmt: skip


def box(x: float, y: float, z: float, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A box with its lowest corner at `at`."""
    return prism([(0, 0), (x, 0), (x, y), (0, y)], z, at)


def prism(
    outline: list[tuple[float, float]],
    height: float,
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    lean: tuple[float, float] = (0.0, 0.0),
) -> Mesh:
    """A convex outline (anticlockwise) raised by `height`, its top moved by `lean`."""
    n = len(outline)
    below = np.array([(x, y, 0.0) for x, y in outline])
    above = np.array([(x + lean[0], y + lean[1], height) for x, y in outline])
    sides = [[k, (k + 1) % n, n + (k + 1) % n] for k in range(n)] + [
        [k, n + (k + 1) % n, n + k] for k in range(n)
    ]
    bottom = [[0, k + 1, k] for k in range(1, n - 1)]
    top = [[n, n + k, n + k + 1] for k in range(1, n - 1)]
    return np.concatenate([below, above]) + np.array(at), np.array(bottom + top + sides)


def extruded(outline: list[tuple[float, float]], triangles: list[list[int]], depth: float) -> Mesh:
    """An outline in x, z (anticlockwise seen from -y), triangulated by hand, extruded along y."""
    n = len(outline)
    front = np.array([(x, 0.0, z) for x, z in outline])
    back = front + np.array([0.0, depth, 0.0])
    faces = [list(face) for face in triangles] + [[n + c, n + b, n + a] for a, b, c in triangles]
    for k in range(n):
        after = (k + 1) % n
        faces += [[k, n + k, n + after], [k, n + after, after]]
    return np.concatenate([front, back]), np.array(faces)


def inverted(mesh: Mesh) -> Mesh:
    return mesh[0], mesh[1][:, ::-1]


def joined(*meshes: Mesh) -> Mesh:
    points, faces, first = [], [], 0
    for vertices, corners in meshes:
        points.append(vertices)
        faces.append(corners + first)
        first += len(vertices)
    return np.concatenate(points), np.concatenate(faces)


def hollow_box(wall: float) -> Mesh:
    """40 x 30 x 20 with walls, floor and ceiling of one thickness."""
    inner = box(40 - 2 * wall, 30 - 2 * wall, 20 - 2 * wall, (wall, wall, wall))
    return joined(box(40, 30, 20), inverted(inner))


def ramp(degrees: float) -> Mesh:
    """A block with one side leaning out by `degrees` from the vertical: 20 deep, 20 high."""
    reach = 20 * math.tan(math.radians(degrees))
    return extruded([(0, 0), (20, 0), (20 + reach, 20), (0, 20)], [[0, 1, 2], [0, 2, 3]], 20)


def bridge(span: float) -> Mesh:
    """Two pillars 5 x 20 x 15 with a beam of 5 on top."""
    total = span + 10
    outline = [(0, 0), (5, 0), (5, 15), (5 + span, 15), (5 + span, 0), (total, 0), (total, 20), (0, 20)]
    triangles = [[0, 1, 2], [0, 2, 7], [2, 3, 7], [3, 6, 7], [3, 4, 5], [3, 5, 6]]
    return extruded([(float(x), float(z)) for x, z in outline], triangles, 20)


def cylinder(
    diameter: float, height: float, sides: int = 64, at: tuple[float, float, float] = (0, 0, 0)
) -> Mesh:
    circle = [
        (diameter / 2 * math.cos(2 * math.pi * k / sides), diameter / 2 * math.sin(2 * math.pi * k / sides))
        for k in range(sides)
    ]
    return prism(circle, height, at)


def plate_with_hole(diameter: float, side: float = 20.0, height: float = 10.0, sides: int = 64) -> Mesh:
    """A square plate with a round hole in its middle."""
    turns = [2 * math.pi * (k + 0.5) / sides for k in range(sides)]
    inner = [(diameter / 2 * math.cos(turn), diameter / 2 * math.sin(turn)) for turn in turns]
    outer = [
        (side / 2 * math.cos(turn) / max(abs(math.cos(turn)), abs(math.sin(turn))),
         side / 2 * math.sin(turn) / max(abs(math.cos(turn)), abs(math.sin(turn))))
        for turn in turns
    ]  # fmt: skip
    rings = [[(*point, z) for point in ring] for ring in (inner, outer) for z in (0.0, height)]
    points = np.array([point for ring in rings for point in ring])
    low_in, high_in, low_out, high_out = (n * sides for n in range(4))
    faces = []
    for k in range(sides):
        m = (k + 1) % sides
        faces += [[low_in + k, low_in + m, low_out + m], [low_in + k, low_out + m, low_out + k]]
        faces += [[high_in + k, high_out + k, high_out + m], [high_in + k, high_out + m, high_in + m]]
        faces += [[low_out + k, low_out + m, high_out + m], [low_out + k, high_out + m, high_out + k]]
        faces += [[low_in + k, high_in + k, high_in + m], [low_in + k, high_in + m, low_in + m]]
    return points, np.array(faces)


def subdivided(mesh: Mesh) -> Mesh:
    """Every triangle cut into four."""
    corners = mesh[0][mesh[1]]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    small = np.concatenate(
        [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    )
    return small.reshape(-1, 3), np.arange(len(small) * 3).reshape(-1, 3)


def volume(mesh: Mesh) -> float:
    a, b, c = (mesh[0][mesh[1][:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def torus(triangles: int) -> Mesh:
    """A closed torus of about so many triangles, 170 mm wide."""
    minor = max(3, int(math.sqrt(triangles / 2) / 2))
    major = triangles // 2 // minor
    u, v = np.meshgrid(
        np.linspace(0, 2 * np.pi, major, endpoint=False),
        np.linspace(0, 2 * np.pi, minor, endpoint=False),
        indexing="ij",
    )
    around = 60 + 25 * np.cos(v)
    points = np.stack([around * np.cos(u), around * np.sin(u), 25 * np.sin(v) + 25], axis=-1).reshape(-1, 3)
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(major), np.arange(minor), indexing="ij"))
    a, b = i * minor + j, ((i + 1) % major) * minor + j
    c, d = ((i + 1) % major) * minor + (j + 1) % minor, i * minor + (j + 1) % minor
    return points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


# Formats


def stl(mesh: Mesh, header: bytes = b"") -> bytes:
    corners = mesh[0][mesh[1]].astype("<f4")
    facets = np.zeros(len(corners), dtype=[("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    facets["v"] = corners
    return header.ljust(80, b"\0") + struct.pack("<I", len(corners)) + facets.tobytes()


def stl_text(mesh: Mesh) -> bytes:
    lines = ["solid shape"]
    for corners in mesh[0][mesh[1]].astype(np.float32):
        lines += [" facet normal 0 0 0", "  outer loop"]
        lines += [f"   vertex {x!r} {y!r} {z!r}" for x, y, z in corners.astype(float).tolist()]
        lines += ["  endloop", " endfacet"]
    return "\n".join([*lines, "endsolid shape", ""]).encode()


def obj(mesh: Mesh) -> bytes:
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh[0].tolist()]
    lines += [f"f {a + 1}//1 {b + 1}//1 {c + 1}//1" for a, b, c in mesh[1].tolist()]
    return ("# shape\n" + "\n".join(lines) + "\n").encode()


def off(mesh: Mesh) -> bytes:
    lines = ["OFF", f"{len(mesh[0])} {len(mesh[1])} 0"]
    lines += [f"{x!r} {y!r} {z!r}" for x, y, z in mesh[0].tolist()]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh[1].tolist()]
    return ("\n".join(lines) + "\n").encode()


def ply(mesh: Mesh, *, order: str = "<") -> bytes:
    name = {"<": "binary_little_endian", ">": "binary_big_endian", "": "ascii"}[order]
    head = (
        f"ply\nformat {name} 1.0\nelement vertex {len(mesh[0])}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(mesh[1])}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    if not order:
        rows = [f"{x!r} {y!r} {z!r}" for x, y, z in mesh[0].tolist()] + [
            f"3 {a} {b} {c}" for a, b, c in mesh[1].tolist()
        ]
        return head + ("\n".join(rows) + "\n").encode()
    faces = np.zeros(len(mesh[1]), dtype=[("n", "u1"), ("v", order + "i4", 3)])
    faces["n"], faces["v"] = 3, mesh[1]
    return head + mesh[0].astype(order + "f4").tobytes() + faces.tobytes()


def amf(mesh: Mesh, unit: str = "millimeter") -> bytes:
    points = "".join(
        f"<vertex><coordinates><x>{x!r}</x><y>{y!r}</y><z>{z!r}</z></coordinates></vertex>"
        for x, y, z in mesh[0].tolist()
    )
    faces = "".join(
        f"<triangle><v1>{a}</v1><v2>{b}</v2><v3>{c}</v3></triangle>" for a, b, c in mesh[1].tolist()
    )
    return (
        f'<?xml version="1.0"?><amf unit="{unit}"><object id="1"><mesh><vertices>{points}</vertices>'
        f"<volume>{faces}</volume></mesh></object></amf>"
    ).encode()


def model_xml(
    mesh: Mesh, *, unit: str = "millimeter", transform: str = "", extra: str = "", inside: str = ""
) -> str:
    points = "".join(f'<vertex x="{x!r}" y="{y!r}" z="{z!r}"/>' for x, y, z in mesh[0].tolist())
    faces = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in mesh[1].tolist())
    placed = f' transform="{transform}"' if transform else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><model unit="{unit}" '
        'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources>'
        f'<object id="1" type="model"><mesh>{inside}<vertices>{points}</vertices><triangles>{faces}</triangles></mesh>'
        f'</object>{extra}</resources><build><item objectid="1"{placed}/></build></model>'
    )


_TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r" Target="/3D/3dmodel.model" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)


def package(
    model: str | bytes, *, more: dict[str, bytes] | None = None, relations: str = _RELATIONS
) -> bytes:
    """A 3MF with one model part."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", relations)
        archive.writestr("3D/3dmodel.model", model)
        for name, data in (more or {}).items():
            archive.writestr(name, data)
    return content.getvalue()


def threemf(mesh: Mesh) -> bytes:
    return package(model_xml(mesh))


FORMATS = {"stl": stl, "obj": obj, "off": off, "ply": ply, "amf": amf, "3mf": threemf}


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
