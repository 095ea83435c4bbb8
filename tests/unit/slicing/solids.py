"""Small meshes as binary STL: sound ones, and all the ways in which a mesh can be wrong."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

Point = tuple[float, float, float]
Triangle = tuple[Point, Point, Point]

_FACES = ((0, 2, 1), (0, 3, 2), (4, 5, 6), (4, 6, 7), (0, 1, 5), (0, 5, 4), (1, 2, 6), (1, 6, 5), (2, 3, 7), (2, 7, 6),
          (3, 0, 4), (3, 4, 7))  # fmt: skip


def box(x: float, y: float, z: float, at: Point = (0.0, 0.0, 0.0)) -> list[Triangle]:
    """A box of 12 triangles, wound outwards."""
    corners = [(0, 0, 0), (x, 0, 0), (x, y, 0), (0, y, 0), (0, 0, z), (x, 0, z), (x, y, z), (0, y, z)]
    points = [(at[0] + a, at[1] + b, at[2] + c) for a, b, c in corners]
    return [(points[a], points[b], points[c]) for a, b, c in _FACES]


def save(path: Path, triangles: Sequence[Triangle], *, count: int | None = None) -> Path:
    """Write a binary STL; `count` lies about the number of triangles."""
    body = b"".join(
        struct.pack("<12fH", 0, 0, 0, *(value for point in triangle for value in point), 0)
        for triangle in triangles
    )
    head = b"fabunit test".ljust(80) + struct.pack("<I", len(triangles) if count is None else count)
    path.write_bytes(head + body)
    return path


def _needles(count: int) -> list[Triangle]:
    """A soup of triangles that belong to nothing."""
    soup = []
    for n in range(count):
        a, b = math.sin(n * 12.9898) * 40, math.cos(n * 78.233) * 40
        soup.append(((a, b, n % 30), (b, a, (n * 7) % 30), (a + 1, b - 3, (n * 3) % 30)))
    return [tuple((float(x), float(y), float(z)) for x, y, z in triangle) for triangle in soup]  # type: ignore[misc]


_NAN, _INF = float("nan"), float("inf")
CUBE = box(10, 10, 5)

# Name → what goes to the engine; none of these may ever come out as an accepted print with a wrong shape.
BAD: dict[str, Callable[[Path], Path]] = {
    "empty file": lambda p: (p.write_bytes(b""), p)[1],
    "ascii": lambda p: (p.write_text("solid x\nfacet\nendsolid x\n"), p)[1],
    "garbage": lambda p: (p.write_bytes(bytes(range(256)) * 40), p)[1],
    "html": lambda p: (p.write_text("<!doctype html><title>404</title>"), p)[1],
    "zip": lambda p: (p.write_bytes(b"PK\x03\x04" + b"\0" * 400), p)[1],
    "header only": lambda p: (p.write_bytes(b"\0" * 80), p)[1],
    "no triangles": lambda p: save(p, []),
    "one triangle": lambda p: save(p, CUBE[:1]),
    "two triangles": lambda p: save(p, CUBE[:2]),
    "count too large": lambda p: save(p, CUBE, count=4_000_000_000),
    "count too small": lambda p: save(p, CUBE, count=3),
    "cut in a triangle": lambda p: (save(p, CUBE), p.write_bytes(p.read_bytes()[:-10]), p)[2],
    "cut behind a triangle": lambda p: (save(p, CUBE), p.write_bytes(p.read_bytes()[:-100]), p)[2],
    "bytes behind the end": lambda p: (save(p, CUBE), p.write_bytes(p.read_bytes() + b"x" * 7), p)[2],
    "all NaN": lambda p: save(p, [((_NAN,) * 3, (_NAN,) * 3, (_NAN,) * 3)] * 12),
    "one NaN": lambda p: save(p, [((_NAN, 0.0, 0.0), *CUBE[0][1:]), *CUBE[1:]]),
    "infinite": lambda p: save(p, [((_INF, 0.0, 0.0), *CUBE[0][1:]), *CUBE[1:]]),
    "huge numbers": lambda p: save(p, box(1e30, 1e30, 1e30)),
    "denormal": lambda p: save(p, box(1e-40, 1e-40, 1e-40)),
    "flat": lambda p: save(p, box(20, 20, 0)),
    "a line": lambda p: save(p, box(20, 0, 0)),
    "a point": lambda p: save(p, box(0, 0, 0)),
    "below one layer": lambda p: save(p, box(20, 20, 0.05)),
    "tiny": lambda p: save(p, box(0.05, 0.05, 0.05)),
    "a needle": lambda p: save(p, box(0.05, 0.05, 40)),
    "a sheet": lambda p: save(p, box(0.01, 40, 40)),
    "too wide": lambda p: save(p, box(400, 20, 20)),
    "too deep": lambda p: save(p, box(20, 400, 20)),
    "too high": lambda p: save(p, box(20, 20, 400)),
    "as wide as the bed": lambda p: save(p, box(220, 220, 5)),
    "much too large": lambda p: save(p, box(20_000, 20_000, 20_000)),
    "open below and above": lambda p: save(p, CUBE[4:]),
    "half a box": lambda p: save(p, CUBE[:6]),
    "soup": lambda p: save(p, _needles(60)),
    "all the same triangle": lambda p: save(p, CUBE[:1] * 12),
}  # fmt: skip
