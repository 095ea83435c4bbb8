"""Parts to slice: ten that are made here, and eleven real ones where the mesh corpus is at hand."""

from __future__ import annotations

import os
from pathlib import Path

from tests.unit.mesh import shapes

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "corpus"
CORPUS = Path(os.environ.get("FABUNIT_CORPUS", _BESIDE))
"""The corpus of `make test-corpus`."""
_REAL = (
    "benchy__3DBenchy.3mf", "trimesh__20mm-xyz-cube.stl", "v2__exhaust_filter_housing.stl", "CuraEngine__testModel.stl",
    "mk3__extruder-body.stl", "mk3__fan-shroud.stl", "mk3__rpi-zero-frame.stl", "v0__Display_Knob_x1.stl",
    "v0__X_Carriage_x1.stl", "v0__a_Tensioner_Knob_x2.stl",
    "3mf__box.3mf",
)  # fmt: skip


def real_parts() -> list[Path]:
    """Return parts that are sold or shipped as test parts, ten for each printer; none without the corpus."""
    found = [CORPUS / "meshes" / "clean" / name for name in _REAL]
    return found if all(path.is_file() for path in found) else []


def made_parts(folder: Path) -> list[Path]:
    """Write ten parts of different kinds, some minutes of printing each: walls, curves, slopes, bridges, holes."""
    made = {
        "box": shapes.box(15, 10, 5),
        "plate": shapes.box(25, 15, 1.5),
        "tower": shapes.box(8, 8, 12),
        "ring": _scaled(shapes.torus(4000), 0.15),
        "cylinder": shapes.cylinder(8, 8),
        "slope": _scaled(shapes.ramp(50), 0.4),
        "bridge": _scaled(shapes.bridge(12), 0.5),
        "plate with a hole": shapes.plate_with_hole(8, 16, 3),
        "hollow box": _scaled(shapes.hollow_box(4), 0.4),
        "two boxes": shapes.joined(shapes.box(5, 15, 3), shapes.box(15, 5, 3, at=(8, 5, 0))),
    }
    return [shapes.write(folder, f"{name}.stl", shapes.stl(mesh)) for name, mesh in made.items()]


def _scaled(mesh: shapes.Mesh, factor: float) -> shapes.Mesh:
    return mesh[0] * factor, mesh[1]
