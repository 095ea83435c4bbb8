"""What must not change the answer, and what must: metamorphic, mutation and fuzz tests."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.mesh.examine import Examination
from tests.unit.mesh import shapes
from tests.unit.mesh.conftest import Examine, finding, ids
from tests.unit.mesh.shapes import Mesh

PART = shapes.joined(
    shapes.bridge(20),
    shapes.box(0.6, 15, 12, (40, 0, 0)),
    shapes.box(5, 5, 5, (50, 0, 8)),
    shapes.cylinder(1.4, 9, 32, (60, 0, 0)),
)
WANTED = {"bridge.span", "wall.thin", "island", "body.floating", "pin.thin", "overhang.area", "body.several"}


def about_z(mesh: Mesh, degrees: float) -> Mesh:
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), math.sin(turn), 0], [-math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    return mesh[0] @ matrix, mesh[1]


def told(found: Examination) -> dict[str, tuple[str, float | None]]:
    return {one["id"]: (one["severity"], one["measured"]) for one in found.document["findings"]}


def assert_same(one: Examination, two: Examination, *, slack: float = 0.03) -> None:
    first, second = told(one), told(two)
    assert {key: value[0] for key, value in first.items()} == {key: value[0] for key, value in second.items()}
    for key, (_, measured) in first.items():
        if measured is not None and key not in ("bridge.span", "stability.tip"):
            assert second[key][1] == pytest.approx(measured, rel=slack, abs=0.02), key
    assert one.document["verdict"] == two.document["verdict"]


def test_the_part_has_something_of_everything(check: Examine) -> None:
    assert ids(check(PART)) == WANTED


@pytest.mark.parametrize("degrees", [17, 90, 143])
def test_a_turn_about_z_changes_nothing(check: Examine, degrees: float) -> None:
    assert_same(check(PART), check(about_z(PART, degrees)))


def test_a_shift_changes_nothing(check: Examine) -> None:
    assert_same(check(PART), check((PART[0] + [100.5, -37.25, 12.125], PART[1])))


def test_the_order_of_faces_changes_nothing(check: Examine) -> None:
    order = np.random.default_rng(3).permutation(len(PART[1]))
    rolled = np.roll(PART[1][order], 1, axis=1)
    assert_same(check(PART), check((PART[0], rolled)))


def test_finer_faces_change_nothing(check: Examine) -> None:
    assert_same(check(PART), check(shapes.subdivided(shapes.subdivided(PART))))


@pytest.mark.parametrize("name", ["obj", "off", "ply", "amf", "3mf"])
def test_the_format_changes_nothing(check: Examine, name: str) -> None:
    assert_same(check(PART), check(shapes.FORMATS[name](PART), f"part.{name}"))


def test_ascii_and_binary_are_one(check: Examine) -> None:
    assert_same(check(PART), check(shapes.stl_text(PART)))


def test_twice_the_size_doubles_what_is_measured(check: Examine) -> None:
    wall = shapes.hollow_box(0.5)
    small, large = check(wall), check((wall[0] * 2, wall[1]))
    assert finding(large, "wall.thin")["measured"] == pytest.approx(
        2 * finding(small, "wall.thin")["measured"], abs=0.02
    )
    assert large.document["mesh"]["volume_mm3"] == pytest.approx(
        8 * small.document["mesh"]["volume_mm3"], rel=1e-5
    )


def test_the_same_file_gives_the_same_bytes(check: Examine) -> None:
    one, two = (json.dumps(check(PART).document, sort_keys=True) for _ in range(2))
    assert one == two


def mutated(change: str, index: int) -> Mesh:
    points, faces = shapes.subdivided(shapes.plate_with_hole(6.0, sides=16))
    index %= len(faces)
    if change == "delete":
        return points, np.delete(faces, index, axis=0)
    if change == "duplicate":
        return points, np.concatenate([faces, faces[index : index + 1]])
    faces = faces.copy()
    faces[index] = faces[index][::-1]
    return points, faces


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.sampled_from(["delete", "duplicate", "flip"]), index=st.integers(0, 10_000))
def test_one_changed_face_is_found_where_it_is(check: Examine, change: str, index: int) -> None:
    mesh = mutated(change, index)
    found = check(mesh)
    wanted = {"delete": "mesh.open_edges", "duplicate": "mesh.nonmanifold_edges", "flip": "mesh.flipped"}[
        change
    ]
    one = finding(found, wanted)
    assert (
        found.document["mesh"][
            {"delete": "open_edges", "duplicate": "nonmanifold_edges", "flip": "flipped_edges"}[change]
        ]
        == 3
    )
    middle = shapes.subdivided(shapes.plate_with_hole(6.0, sides=16))
    face = middle[0][middle[1][index % len(middle[1])]]
    place = one["places"][0]
    assert np.all(np.array(place["low_mm"]) >= face.min(axis=0) - 1e-3)
    assert np.all(np.array(place["high_mm"]) <= face.max(axis=0) + 1e-3)
    assert found.document["verdict"] == ("not_printable" if change == "delete" else "printable_with_warnings")


def test_a_crack_is_a_warning_and_a_hole_is_an_error(check: Examine) -> None:
    points, faces = shapes.subdivided(shapes.box(20, 20, 20))
    corner = np.flatnonzero((points == points[faces[0, 0]]).all(axis=1))
    moved = points.copy()
    moved[corner[0]] += 0.01
    crack = finding(check((moved, faces)), "mesh.open_edges")
    assert crack["severity"] == "warning"
    assert crack["measured"] == pytest.approx(0.01 * math.sqrt(3), abs=0.002)
    moved[corner[0]] += 1.0
    assert finding(check((moved, faces)), "mesh.open_edges")["severity"] == "error"


def test_inside_out_is_found(check: Examine) -> None:
    assert "mesh.inside_out" in ids(check(shapes.inverted(shapes.box(20, 20, 20))), "warning")
    one_of_two = shapes.joined(shapes.box(20, 20, 20), shapes.inverted(shapes.box(5, 5, 5, (30, 0, 0))))
    assert "body.inside_out" in ids(check(one_of_two), "warning")


def test_bodies_that_touch_are_sound(check: Examine) -> None:
    in_an_edge = shapes.joined(shapes.box(10, 10, 10), shapes.box(10, 10, 10, (10, 10, 0)))
    found = check(in_an_edge)
    assert finding(found, "mesh.shared_edges")["severity"] == "info"
    assert finding(found, "body.several")["count"] == 2
    assert found.document["verdict"] == "printable"


def test_crossing_bodies_are_found_and_nested_ones_named(check: Examine) -> None:
    crossing = check(shapes.joined(shapes.box(10, 10, 10), shapes.box(10, 10, 10, (5, 5, 0.5))))
    assert finding(crossing, "mesh.self_intersection")["severity"] == "warning"
    nested = check(shapes.joined(shapes.box(20, 20, 20), shapes.box(5, 5, 5, (7, 7, 7))))
    assert "body.nested" in ids(nested, "info")
    assert "mesh.self_intersection" not in ids(nested)


@pytest.mark.parametrize("cut", range(2, 50, 6))
@pytest.mark.parametrize("name", ["stl", "3mf", "ply"])
def test_truncated_files_are_never_printable(check: Examine, name: str, cut: int) -> None:
    content = shapes.FORMATS[name](PART)
    found = check(content[: len(content) * cut // 50], f"part.{name}")
    assert found.document["verdict"] == "not_printable"
    assert found.document["findings"][0]["id"].startswith(("file.", "mesh."))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_never_crash_a_check(check: Examine, data: st.DataObject) -> None:
    content = bytearray(shapes.stl(shapes.plate_with_hole(4.0, sides=8)))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(84, len(content) - 1))] = data.draw(st.integers(0, 255))
    document = check(bytes(content)).document
    assert not [run for run in document["checks"] if "crashed" in run["detail"]]
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(check: Examine, value: float) -> None:
    points, faces = shapes.box(20, 20, 20)
    points[3, 1] = value
    found = check((points, faces))
    assert ids(found) == {"mesh.nonfinite"}
    assert found.document["verdict"] == "not_printable"


def test_huge_and_tiny_numbers_are_survived(check: Examine) -> None:
    for size in (1e30, 1e-30, 3e38):
        points, faces = shapes.box(size, size, size)
        assert check((points, faces)).document["verdict"] in ("not_printable", "undetermined")


def test_a_crashed_check_leaves_the_verdict_open(check: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr("agent.mesh.examine.CHECKS", (("walls", crash),))
    found = check(shapes.box(20, 20, 20))
    assert found.document["verdict"] == "undetermined"
    assert {"id": "walls", "status": "failed", "detail": "walls crashed: RuntimeError: no"} in found.document[
        "checks"
    ]


def test_a_part_over_the_budget_is_undetermined(check: Examine) -> None:
    found = check(shapes.torus(2000), memory_bytes=(120 << 20) + 1000 * 400)
    assert found.document["verdict"] == "undetermined"
    assert found.document["mesh"]["open_edges"] == 0
    skipped = {run["id"] for run in found.document["checks"] if run["status"] == "skipped"}
    assert {"walls", "features", "self_intersection", "bodies"} <= skipped


def test_a_heap_of_loose_faces_says_so_quickly(check: Examine) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 100, (9000, 3))
    found = check((points, np.arange(9000).reshape(-1, 3)))
    assert finding(found, "mesh.open_edges")["severity"] == "error"
    assert sum(found.timings_s.values()) < 5


def test_a_tangle_ends_within_bounds(check: Examine) -> None:
    """Closed and hopelessly overlapping: every check ends or says that it gave up."""
    rng = np.random.default_rng(2)
    boxes = []
    for _ in range(250):
        x, y, z = rng.uniform(60, 100, 3)
        points, faces = shapes.box(x, y, z)
        boxes.append((points + rng.uniform(0, 9, 3), faces))
    found = check(shapes.joined(*boxes))
    assert found.document["verdict"] in ("undetermined", "printable_with_warnings")
    assert sum(found.timings_s.values()) < 30


def test_an_unreadable_path_is_a_finding(check: Examine, tmp_path: Path) -> None:
    assert ids(check(tmp_path / "nothing.stl")) == {"file.unreadable"}
