"""What other tools say about the same meshes, where they are installed: edges, manifoldness, crossing faces."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.mesh.client import run_check
from agent.mesh.limits import Limits
from agent.mesh.request import Request
from tests.unit.mesh import shapes
from tests.unit.mesh.shapes import Mesh

ADMESH = shutil.which("admesh")
PRUSASLICER = shutil.which("prusa-slicer")
# Not everybody wants 100 MB of it beside the tests: an environment of its own does as well.
_OWN = Path.home() / ".cache" / "fabunit-bench" / "pymeshlab" / "bin" / "python"
_CROSSING = """
import sys, pymeshlab
meshes = pymeshlab.MeshSet(verbose=False)
meshes.load_new_mesh(sys.argv[1])
meshes.meshing_remove_duplicate_vertices()
meshes.compute_selection_by_self_intersections_per_face()
print("crossing", meshes.current_mesh().selected_face_number())
"""


def _pymeshlab() -> str | None:
    if importlib.util.find_spec("pymeshlab") is not None:
        return sys.executable
    return str(_OWN) if _OWN.is_file() else None


def ball(radius: float, at: tuple[float, float, float], rings: int = 20) -> Mesh:
    """A closed ball of triangles."""
    u = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    v = np.linspace(0, np.pi, rings + 1)[1:-1]
    ring = np.stack(
        [np.outer(np.sin(v), np.cos(u)), np.outer(np.sin(v), np.sin(u)), np.outer(np.cos(v), np.ones_like(u))], -1
    )  # fmt: skip
    points = np.concatenate([ring.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]]) * radius + np.array(at)
    n, rows, faces = 2 * rings, rings - 1, []
    for i in range(rows - 1):
        for j in range(n):
            a, b, c, d = i * n + j, (i + 1) * n + j, (i + 1) * n + (j + 1) % n, i * n + (j + 1) % n
            faces += [[a, b, c], [a, c, d]]
    north, south = len(points) - 2, len(points) - 1
    faces += [[north, j, (j + 1) % n] for j in range(n)]
    faces += [[south, (rows - 1) * n + (j + 1) % n, (rows - 1) * n + j] for j in range(n)]
    return points, np.array(faces)


def without(mesh: Mesh, *missing: int) -> Mesh:
    return mesh[0], np.delete(mesh[1], missing, axis=0)


def doubled(mesh: Mesh, face: int) -> Mesh:
    return mesh[0], np.concatenate([mesh[1], mesh[1][face : face + 1]])


_BALL = ball(15, (20, 20, 15))
MESHES: dict[str, Mesh] = {
    "a box": shapes.box(20, 20, 20),
    "a ball": _BALL,
    "a torus": shapes.torus(4000),
    "a plate with a hole": shapes.plate_with_hole(5.0),
    "one facet less": without(_BALL, 100),
    "three facets less": without(_BALL, 10, 400, 401),
    "two balls apart": shapes.joined(_BALL, ball(10, (60, 20, 10))),
}
CROSSING: dict[str, Mesh] = {
    "two balls in each other": shapes.joined(_BALL, ball(10, (30, 20, 16))),
    "a box through a ball": shapes.joined(_BALL, shapes.box(60, 4.3, 6.1, (0.7, 17.2, 8.4))),
    "apart": shapes.joined(_BALL, ball(10, (60, 20, 10))),
    "a ball": _BALL,
}


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "part.stl"


def report(path: Path, limits: Limits) -> dict[str, Any]:
    return asyncio.run(run_check(Request(path, path.name, limits)))


def said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


@pytest.mark.skipif(ADMESH is None, reason="admesh is not installed")
@pytest.mark.parametrize("name", MESHES)
def test_admesh_counts_the_same_open_edges(name: str, write: Path, limits: Limits) -> None:
    write.write_bytes(shapes.stl(MESHES[name]))
    told = said([str(ADMESH), "--exact", str(write)])
    found = re.findall(r"Facets with (\d) disconnected edges? *: +(\d+)", told)
    assert len(found) == 3, told
    assert report(write, limits)["mesh"]["open_edges"] == sum(int(k) * int(count) for k, count in found)


@pytest.mark.skipif(PRUSASLICER is None, reason="PrusaSlicer is not installed")
@pytest.mark.parametrize("name", MESHES)
def test_prusaslicer_calls_the_same_meshes_manifold(name: str, write: Path, limits: Limits) -> None:
    write.write_bytes(shapes.stl(MESHES[name]))
    told = re.search(r"manifold = (yes|no)", said([str(PRUSASLICER), "--info", str(write)]))
    assert told is not None
    found = [one["id"] for one in report(write, limits)["findings"]]
    assert ("mesh.open_edges" not in found) == (told[1] == "yes")


@pytest.mark.skipif(_pymeshlab() is None, reason="pymeshlab is not installed")
@pytest.mark.parametrize("name", CROSSING)
def test_pymeshlab_finds_the_same_crossing_faces(name: str, write: Path, limits: Limits) -> None:
    write.write_bytes(shapes.stl(CROSSING[name]))
    told = re.search(r"crossing (\d+)", said([str(_pymeshlab()), "-c", _CROSSING, str(write)]))
    assert told is not None
    finding = next(
        (one for one in report(write, limits)["findings"] if one["id"] == "mesh.self_intersection"), None
    )
    ours = 0 if finding is None else finding["count"]
    assert ours == pytest.approx(int(told[1]), rel=0.005)
