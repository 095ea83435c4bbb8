"""Real meshes and hostile files, where the shared corpus is present."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.mesh.client import run_check
from agent.mesh.limits import Limits
from agent.mesh.request import Request

_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "corpus"
CORPUS = Path(os.environ.get("FABUNIT_CORPUS", _BESIDE))
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared mesh corpus is not beside the checkout"),
]
# CAD parts of up to 356 mm: a printer they fit says most about the checks.
_ROOM = (600.0, 600.0, 600.0)


def rows(folder: str) -> list[dict[str, str]]:
    path = CORPUS / folder / "manifest.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def report(path: Path, limits: Limits) -> dict[str, Any]:
    return asyncio.run(run_check(Request(path, path.name, replace(limits, volume_mm=_ROOM))))


def names(*labels: str) -> list[str]:
    return [row["file"] for row in rows("meshes") if row["expected"].startswith(labels)]


def severe(found: dict[str, Any]) -> list[str]:
    return [one["id"] for one in found["findings"] if one["severity"] == "error"]


@pytest.mark.parametrize("name", [row["file"] for row in rows("meshes") if row["file"].startswith("clean/")])
def test_no_error_on_a_part_that_is_sold(name: str, limits: Limits) -> None:
    assert severe(report(CORPUS / "meshes" / name, limits)) == []


@pytest.mark.parametrize("name", names("open", "cracked", "stray"))
def test_every_hole_is_found_with_count_and_place(name: str, limits: Limits) -> None:
    wanted = next(int(row["open_edges"]) for row in rows("meshes") if row["file"] == name)
    found = report(CORPUS / "meshes" / name, limits)
    assert found["mesh"]["open_edges"] == wanted
    one = next(one for one in found["findings"] if one["id"] == "mesh.open_edges")
    assert one["places"]
    assert one["severity"] == "error" or one["unit"] == "mm"


@pytest.mark.parametrize("name", names("flipped"))
def test_flipped_faces_are_found(name: str, limits: Limits) -> None:
    found = report(CORPUS / "meshes" / name, limits)
    one = next(one for one in found["findings"] if one["id"] == "mesh.flipped")
    assert one["places"]


@pytest.mark.parametrize("name", names("self_intersecting"))
def test_crossing_faces_are_found(name: str, limits: Limits) -> None:
    found = report(CORPUS / "meshes" / name, limits)
    assert "mesh.self_intersection" in [one["id"] for one in found["findings"]]


@pytest.mark.parametrize("name", names("must_fail", "unreadable"))
def test_what_must_fail_fails(name: str, limits: Limits) -> None:
    assert report(CORPUS / "meshes" / name, limits)["verdict"] == "not_printable"


@pytest.mark.parametrize("name", names("must_pass"))
def test_what_must_pass_passes(name: str, limits: Limits) -> None:
    assert severe(report(CORPUS / "meshes" / name, limits)) == []


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["file"]) for row in rows("meshes") if row["open_edges"]]
)
def test_edge_classes_agree_with_the_manifest(row: dict[str, str], limits: Limits) -> None:
    mesh = report(CORPUS / "meshes" / row["file"], limits)["mesh"]
    if mesh is None:
        return  # refused for its container; other tests say why
    # Where two references differ (one merges near vertices), ours compares bits like admesh.
    assert mesh["open_edges"] in (int(row["open_edges"]), int(row["admesh_disconnected"] or -1))
    assert mesh["shared_edges"] == int(row["shared_gt2_balanced"])
    # The volume of an open or flipped surface means nothing.
    is_solid = row["watertight"] == row["winding_consistent"] == "True"
    if is_solid and not row["file"].endswith((".3mf", ".3MF")) and float(row["volume"]) > 9:
        assert mesh["volume_mm3"] == pytest.approx(float(row["volume"]), rel=1e-3)


@pytest.mark.parametrize("name", [row["file"] for row in rows("hostile")])
def test_hostile_files_end_soon_in_words(name: str, limits: Limits) -> None:
    began = time.monotonic()
    found = asyncio.run(run_check(Request(CORPUS / "hostile" / name, name, limits), timeout_s=60))
    assert sum(found["run"]["cpu_s"].values()) < 10
    assert time.monotonic() - began < 60
    assert found["run"]["peak_memory_bytes"] < 300 << 20
    assert "check.incomplete" not in [one["id"] for one in found["findings"]]
    if name.startswith("ok_"):
        assert found["verdict"] == "printable"


def truths() -> dict[str, dict[str, Any]]:
    path = CORPUS / "truth" / "truth.json"
    return json.loads(path.read_text()) if path.is_file() else {}


@pytest.mark.parametrize("name", sorted(truths()))
def test_the_truth_is_told(name: str, limits: Limits) -> None:
    wanted = truths()[name]
    found = report(CORPUS / "truth" / f"{name}.stl", limits)
    by_id = {one["id"]: one for one in found["findings"]}
    if "volume" in wanted:
        assert found["mesh"]["volume_mm3"] == pytest.approx(wanted["volume"], rel=1e-4)
    if wanted.get("overhang_mm2_gt45"):
        assert found["mesh"]["overhang_mm2"] == pytest.approx(wanted["overhang_mm2_gt45"], rel=1e-3)
    # A pin of 1 x 10 mm is also a question about its unit, and measured in that unit.
    if wanted.get("min_wall", 9) < 0.8 and "size.units" not in by_id:
        thin = by_id.get("wall.thin") or by_id["floor.thin"]
        assert thin["measured"] == pytest.approx(wanted["min_wall"], abs=0.02)
    if wanted.get("min_gap", 9) < 0.3:
        assert by_id["gap.narrow"]["measured"] == pytest.approx(wanted["min_gap"], abs=0.02)
    if wanted.get("hole_diameter", 9) < 1.9:
        assert by_id["hole.small"]["measured"] == pytest.approx(wanted["hole_diameter"], abs=0.02)
    assert (found["verdict"] == "not_printable") == (
        wanted.get("stable") is False or wanted.get("min_wall", 9) < 0.4
    )
