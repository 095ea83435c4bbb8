"""Load and edge check of the same files beside admesh, PrusaSlicer and trimesh; prints a Markdown table.

`python -m benchmarks.bench_mesh [FILE...]`; without files, closed tori of 10,000 to 1,000,000 triangles are made. Tools
that are not installed are left out. CPU seconds and peak memory of the whole process each; run it on a quiet machine.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SIZES = (10_000, 100_000, 1_000_000)
_SURVEY = """
import sys
from pathlib import Path
from agent.mesh.gate.inspect import inspect
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.survey import survey
from agent.mesh.load.read import read
path = Path(sys.argv[1])
found = survey(read(path, inspect(path)), VertexHash(1), overhang_deg=45.0, bed_mm=0.1)
print(found.edges.open, found.volume_mm3)
"""
_ALL = """
import json, sys
from pathlib import Path
from agent.mesh.examine import Order, examine
from agent.mesh.limits import derive
from agent.paths import profiles_dirs
from agent.slicing.profiles import load_profile
limits = derive(load_profile("corexy-300", profiles_dirs()))
print(examine(Order(Path(sys.argv[1]), "", limits), lambda *_: None).document["verdict"])
"""
_TRIMESH = """
import sys, trimesh
mesh = trimesh.load_mesh(sys.argv[1])
print(mesh.is_watertight, mesh.volume)
"""
_BARE = "import numpy"


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--make"]:
        torus(Path(sys.argv[2]), int(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as name:
        files = [Path(argument) for argument in sys.argv[1:]] or [made(Path(name), size) for size in SIZES]
        print("| file | tool | CPU s | peak MiB |\n|---|---|---|---|")
        for path in files:
            for tool, command in tools(path):
                cpu_s, peak_mib = measure(command)
                print(f"| {path.name} | {tool} | {cpu_s:.2f} | {peak_mib:.0f} |", flush=True)


def tools(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the tools that are here, with the command for a file."""
    yield "bare interpreter with numpy", [sys.executable, "-c", _BARE]
    yield "fabunit: gate, edges, bounds, volume, overhang", [sys.executable, "-c", _SURVEY, str(path)]
    yield "fabunit: all checks", [sys.executable, "-c", _ALL, str(path)]
    yield "trimesh: load, watertight, volume", [sys.executable, "-c", _TRIMESH, str(path)]
    if prusa := shutil.which("prusa-slicer"):
        yield "PrusaSlicer --info", [prusa, "--info", str(path)]
    if (admesh := shutil.which("admesh")) and path.suffix.lower() == ".stl":
        yield "admesh", [admesh, str(path)]


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command; return its processor seconds and peak resident memory in MiB."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def made(folder: Path, triangles: int) -> Path:
    """Have a torus written by another process: what this one has in memory counts for every child it starts."""
    path = folder / f"torus-{triangles}.stl"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_mesh", "--make", str(path), str(triangles)], check=True
    )
    return path


def torus(path: Path, triangles: int) -> None:
    """Write a closed torus of about so many triangles as binary STL."""
    import numpy as np  # noqa: PLC0415 - only here, see `made`

    minor = max(3, int((triangles / 2) ** 0.5 / 2))
    major = triangles // 2 // minor
    u = np.linspace(0, 2 * np.pi, major, endpoint=False)
    v = np.linspace(0, 2 * np.pi, minor, endpoint=False)
    around = 60 + 25 * np.cos(v)[None, :]
    points = np.stack(
        [
            around * np.cos(u)[:, None],
            around * np.sin(u)[:, None],
            np.broadcast_to(25 * np.sin(v) + 25, (major, minor)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    i, j = np.divmod(np.arange(major * minor), minor)
    a, b = i * minor + j, (i + 1) % major * minor + j
    c, d = (i + 1) % major * minor + (j + 1) % minor, i * minor + (j + 1) % minor
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    facets = np.zeros(len(faces), dtype=[("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    facets["v"] = points[faces]
    path.write_bytes(bytes(80) + struct.pack("<I", len(faces)) + facets.tobytes())


if __name__ == "__main__":
    main()
