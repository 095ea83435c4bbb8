"""Pose, repair, pictures, page and text."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agent.mesh.examine import Examination
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.raster import cover
from agent.mesh.geometry.solid import Solid
from agent.mesh.load.source import SoupSource
from agent.mesh.orientation import report, rotation, search
from agent.mesh.repair import proposals, repair, write_stl
from agent.mesh.report import text
from agent.mesh.report.page import page
from agent.mesh.report.pictures import overview
from tests.unit.mesh import shapes
from tests.unit.mesh.conftest import Examine, ids
from tests.unit.mesh.shapes import Mesh


def solid(mesh: Mesh) -> Solid:
    return Solid.merge(SoupSource(mesh[0][mesh[1]].astype(np.float32)), VertexHash(1))


def part_of(found: Examination) -> Part:
    assert found.part is not None
    return found.part


def test_a_bridge_is_laid_on_its_side(check: Examine) -> None:
    poses = search(part_of(check(shapes.bridge(40))))
    found = report(poses)
    assert found["is_better"]
    assert found["best"]["overhang_mm2"] == 0
    assert found["best"]["height_mm"] == pytest.approx(20)
    assert found["best"]["contact_mm2"] > found["present"]["contact_mm2"]


def test_a_cube_lies_well(check: Examine) -> None:
    found = report(search(part_of(check(shapes.box(20, 20, 20)))))
    assert not found["is_better"]
    assert "lies well" in found["words"][0]


def test_a_part_too_long_standing_is_laid_down(check: Examine) -> None:
    found = report(search(part_of(check(shapes.box(10, 10, 450)))))
    assert not found["present"]["fits"]


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0.6, 0, -0.8), (0.48, 0.6, 0.64)])
def test_a_rotation_turns_up_to_z(up: tuple[float, float, float]) -> None:
    matrix = rotation(np.array(up))
    assert matrix @ np.array(up) == pytest.approx([0, 0, 1], abs=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1)


def _mended(mesh: Mesh, *, fills_holes: bool = False) -> tuple[Solid, dict[str, Any]]:
    one = solid(mesh)
    done = repair(one, crack_mm=0.05, fills_holes=fills_holes)
    return done.solid, done.to_dict(float(one.body_volumes.sum()))


def test_a_sound_mesh_is_left_alone() -> None:
    mended, told = _mended(shapes.plate_with_hole(3.0))
    assert told["steps"] == []
    assert told["volume_before_mm3"] == told["volume_after_mm3"]
    assert mended.count == len(shapes.plate_with_hole(3.0)[1])


def test_flipped_faces_are_turned(check: Examine, tmp_path: Path) -> None:
    points, faces = shapes.plate_with_hole(6.0, sides=16)
    faces = faces.copy()
    faces[[3, 20, 21]] = faces[[3, 20, 21]][:, ::-1]
    mended, told = _mended((points, faces))
    assert told["steps"] == [{"name": "turned flipped faces", "changed": 3, "moved_mm": 0.0}]
    assert told["volume_after_mm3"] == pytest.approx(
        shapes.volume(shapes.plate_with_hole(6.0, sides=16)), rel=1e-5
    )
    write_stl(mended, tmp_path / "fixed.stl")
    assert "mesh.flipped" not in ids(check(tmp_path / "fixed.stl"))


def test_bodies_inside_out_are_turned_and_voids_stay() -> None:
    inside_out = shapes.joined(shapes.inverted(shapes.hollow_box(2.0)), shapes.box(5, 5, 5, (60, 0, 0)))
    mended, told = _mended(inside_out)
    assert told["volume_after_mm3"] == pytest.approx(shapes.volume(shapes.hollow_box(2.0)) + 125, rel=1e-5)
    assert mended.bodies[1] == 3


def test_doubled_and_collapsed_faces_are_dropped() -> None:
    points, faces = shapes.box(20, 20, 20)
    mended, told = _mended((points, np.concatenate([faces, faces[:2], [[0, 0, 1]]])))
    assert {step["name"]: step["changed"] for step in told["steps"]} == {
        "dropped doubled faces": 2, "dropped faces without extent": 1,
    }  # fmt: skip
    assert mended.count == 12


def test_cracks_are_merged_within_the_bound(check: Examine, tmp_path: Path) -> None:
    points, faces = shapes.subdivided(shapes.box(20, 20, 20))
    moved = points.copy()
    moved[faces[5, 1]] += 0.006
    mended, told = _mended((moved, faces))
    assert told["hausdorff_bound_mm"] == pytest.approx(0.006 * 3**0.5, abs=1e-3)
    write_stl(mended, tmp_path / "fixed.stl")
    assert "mesh.open_edges" not in ids(check(tmp_path / "fixed.stl"))


def test_holes_are_closed_only_on_request(check: Examine, tmp_path: Path) -> None:
    points, faces = shapes.subdivided(shapes.subdivided(shapes.box(20, 20, 20)))
    torn = points, np.delete(faces, [7, 90], axis=0)
    assert _mended(torn)[1]["steps"] == []
    mended, told = _mended(torn, fills_holes=True)
    assert told["steps"][0]["changed"] == 2
    assert told["volume_after_mm3"] == pytest.approx(8000, rel=1e-5)
    write_stl(mended, tmp_path / "fixed.stl")
    assert check(tmp_path / "fixed.stl").document["verdict"] == "printable"


def test_repairs_are_proposed() -> None:
    assert proposals(["mesh.flipped", "wall.thin"]) == ["turn flipped faces"]


def test_every_cell_of_a_closed_surface_is_covered_once_from_each_side() -> None:
    """Edges of neighbours are computed alike: no cell centre falls between two triangles, none is hit twice."""
    points, faces = shapes.cylinder(40.0, 10.0, 37, (25.3, 24.9, 0))
    sides = np.zeros((50, 50), dtype=int)
    for found in cover(points[faces].astype(np.float64), (50, 50)):
        corners = points[faces][found.triangles]
        up = np.sign(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]).astype(int)
        np.add.at(sides, (found.rows, found.columns), up)
        assert set(np.round(found.heights, 6)) <= {0.0, 10.0}
    assert (sides == 0).all()


def test_the_picture_shows_the_finding(check: Examine) -> None:
    found = check(shapes.bridge(40))
    content = overview(part_of(found), found.painted, found.document, "bridge.stl")
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    below = image[:520, 640:]
    reddish = (below[..., 0] > 70) & (below[..., 0] > 2 * below[..., 1])
    assert 5_000 < reddish.sum() < 200_000
    plain = check(shapes.box(20, 20, 20))
    quiet = np.asarray(
        Image.open(io.BytesIO(overview(part_of(plain), plain.painted, plain.document, "x"))).convert("RGB")
    ).astype(int)
    assert ((quiet[..., 0] > 70) & (quiet[..., 0] > 2 * quiet[..., 1])).sum() == 0


def test_the_page_is_one_file_and_hostile_names_stay_text(check: Examine) -> None:
    name = "</script><img src=x onerror=alert(1)>@@MODEL@@.stl"
    found = check(shapes.bridge(40))
    content = page(part_of(found), found.painted, found.document, name, b"png").decode()
    assert "<img src=x" not in content
    assert "&lt;img src=x" in content
    assert not re.search(r"(?:src|href)=\"(?!data:)", content)
    assert "http" not in content.replace("http-equiv", "")
    model = json.loads(re.search(r'id="model">(.*?)</script>', content, re.DOTALL)[1])  # type: ignore[index]
    assert [layer["id"] for layer in model["layers"]] == [
        one["id"] for one in found.document["findings"] if one["id"] in found.painted
    ]


def test_a_fine_mesh_is_thinned_for_the_page(check: Examine) -> None:
    found = check(shapes.torus(130_000))
    content = page(part_of(found), found.painted, found.document, "torus", b"")
    assert len(content) < 4_000_000


def test_the_text_names_number_limit_and_place(check: Examine) -> None:
    found = check(shapes.hollow_box(0.5)).document
    line = next(text.finding_line(one) for one in found["findings"] if one["id"] == "wall.thin")
    assert "0.50 mm" in line
    assert "limit 0.8 mm" in line
    assert re.search(r"at x-?\d+\.\d y-?\d+\.\d z", line)
    assert text.verdict_line(found).startswith("printable, with warnings: ")
