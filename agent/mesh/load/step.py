"""STEP through trimesh, where its optional reader `cascadio` is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from agent.mesh.errors import MeshFileError
from agent.mesh.load.source import IndexedSource, indexed

_MM_PER_METRE = 1000.0  # cascadio hands over glTF, whose unit is the metre


def read_step(path: Path, scale: float = 1.0) -> IndexedSource:
    """Return the tessellated solids in mm. Raises MeshFileError `file.unsupported` without the library."""
    if find_spec("cascadio") is None:
        raise MeshFileError(
            "STEP needs the optional package cascadio, which is not installed",
            code="file.unsupported",
            remedy="export it as 3MF or STL, or install fabunit[step]",
        )
    import trimesh  # noqa: PLC0415 - only STEP needs it here, and it takes 0.3 s

    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type="step")
    mesh = scene.to_mesh()
    return indexed(
        np.asarray(mesh.vertices, dtype=np.float64),
        np.asarray(mesh.faces, dtype=np.int64),
        scale * _MM_PER_METRE,
    )
