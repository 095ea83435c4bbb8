"""Analytic shapes: every measure is exact, every verdict right."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.mesh.limits import Limits
from tests.unit.mesh import shapes
from tests.unit.mesh.conftest import Examine, finding, ids


def test_a_plain_cube_is_printable(check: Examine) -> None:
    found = check(shapes.box(20, 20, 20))
    assert found.document["verdict"] == "printable"
    assert found.document["findings"] == []
    assert found.document["mesh"]["volume_mm3"] == pytest.approx(8000, rel=1e-6)
    assert found.document["mesh"]["area_mm2"] == pytest.approx(2400, rel=1e-6)
    assert found.document["mesh"]["centre_of_mass_mm"] == [10, 10, 10]
    assert found.document["mesh"]["edges"] == 18


@pytest.mark.parametrize("wall", [0.3, 0.4, 0.6, 0.8, 1.0, 1.2, 2.0])
def test_walls_are_measured(check: Examine, wall: float) -> None:
    found = check(shapes.hollow_box(wall))
    volume = 40 * 30 * 20 - (40 - 2 * wall) * (30 - 2 * wall) * (20 - 2 * wall)
    assert found.document["mesh"]["volume_mm3"] == pytest.approx(volume, rel=1e-4)
    assert "body.void" in ids(found)
    if wall >= 1.2:
        assert "wall.thin" not in ids(found)
        return
    thin = finding(found, "wall.thin")
    assert thin["measured"] == pytest.approx(wall, abs=0.02)
    assert thin["severity"] == ("error" if wall < 0.4 else "warning" if wall < 0.8 else "info")
    assert found.document["verdict"] == ("not_printable" if wall < 0.4 else "printable_with_warnings")


@pytest.mark.parametrize("wall", [0.2, 0.4, 0.8])
def test_fins_are_measured(check: Examine, wall: float) -> None:
    found = check(shapes.box(wall, 30, 20))
    assert finding(found, "wall.thin")["measured"] == pytest.approx(wall, abs=0.02)
    tip = finding(found, "stability.tip")
    assert tip["measured"] == pytest.approx(math.degrees(math.atan2(wall / 2, 10)), rel=0.01)


@pytest.mark.parametrize(("gap", "severity"), [(0.1, "warning"), (0.2, "info"), (0.5, None)])
def test_gaps_are_measured(check: Examine, gap: float, severity: str | None) -> None:
    found = check(shapes.joined(shapes.box(10, 10, 10), shapes.box(10, 10, 10, (10 + gap, 0, 0))))
    if severity is None:
        assert "gap.narrow" not in ids(found)
        return
    narrow = finding(found, "gap.narrow")
    assert narrow["measured"] == pytest.approx(gap, abs=0.02)
    assert narrow["severity"] == severity


@pytest.mark.parametrize(
    ("diameter", "severity"), [(0.5, "warning"), (1.0, "info"), (1.8, "info"), (3.0, None)]
)
def test_holes_are_measured(check: Examine, diameter: float, severity: str | None) -> None:
    found = check(shapes.plate_with_hole(diameter))
    if severity is None:
        assert "hole.small" not in ids(found)
        return
    hole = finding(found, "hole.small")
    assert hole["measured"] == pytest.approx(diameter, abs=0.02)
    assert (hole["severity"], hole["count"]) == (severity, 1)
    assert hole["places"][0]["at_mm"][:2] == pytest.approx([0, 0], abs=0.05)


@pytest.mark.parametrize(("diameter", "severity"), [(0.7, "warning"), (1.5, "info"), (3.0, None)])
def test_pins_are_measured(check: Examine, diameter: float, severity: str | None) -> None:
    pin = shapes.cylinder(diameter, 10.5, at=(10, 10, 4.5))
    found = check(shapes.joined(shapes.box(20, 20, 5), pin))
    if severity is None:
        assert "pin.thin" not in ids(found)
        return
    thin = finding(found, "pin.thin")
    assert thin["measured"] == pytest.approx(diameter, abs=0.02)
    assert (thin["severity"], thin["count"]) == (severity, 1)


@pytest.mark.parametrize("degrees", [20, 40, 44, 46, 50, 55, 70, 80])
def test_overhang_area_is_exact(check: Examine, degrees: int) -> None:
    found = check(shapes.ramp(degrees))
    area = found.document["mesh"]["overhang_mm2"]
    if degrees < 45:
        assert area == 0
        assert found.document["verdict"] == "printable"
        return
    assert area == pytest.approx(20 * 20 / math.cos(math.radians(degrees)), rel=1e-3)
    assert finding(found, "overhang.area")["severity"] == "warning"


@pytest.mark.parametrize(("span", "severity"), [(5, None), (12, "info"), (20, "warning"), (80, "warning")])
def test_bridges_are_measured(check: Examine, span: float, severity: str | None) -> None:
    found = check(shapes.bridge(span))
    assert found.document["mesh"]["volume_mm3"] == pytest.approx(
        2 * 5 * 20 * 15 + (span + 10) * 20 * 5, rel=1e-6
    )
    if severity is None:
        assert found.document["verdict"] == "printable"
        return
    long = finding(found, "bridge.span")
    assert long["severity"] == severity
    assert long["measured"] == pytest.approx(span, abs=0.45)
    assert long["places"][0]["at_mm"][2] == pytest.approx(15, abs=0.2)


def test_a_long_bridge_without_supports_cannot_be_printed(check: Examine, limits: Limits) -> None:
    bare = replace(limits, has_supports=False)
    assert check(shapes.bridge(80), limits=bare).document["verdict"] == "not_printable"
    assert finding(check(shapes.bridge(80), limits=bare), "bridge.span")["severity"] == "error"


def test_a_floating_body_is_found_where_it_is(check: Examine, limits: Limits) -> None:
    mesh = shapes.joined(shapes.box(20, 20, 10), shapes.box(10, 10, 5, (5, 5, 15)))
    found = check(mesh)
    assert {"island", "body.floating"} <= ids(found, "warning")
    island = finding(found, "island")
    assert island["places"][0]["at_mm"] == pytest.approx([10, 10, 15], abs=0.25)
    bare = check(mesh, limits=replace(limits, has_supports=False))
    assert bare.document["verdict"] == "not_printable"
    assert {"island", "body.floating"} <= ids(bare, "error")


def test_a_stack_that_touches_does_not_float(check: Examine) -> None:
    found = check(shapes.joined(shapes.box(20, 20, 10), shapes.box(10, 10, 5, (5, 5, 10))))
    assert ids(found, "error", "warning") == set()


@pytest.mark.parametrize(("lean", "verdict"), [(8, "printable_with_warnings"), (12, "not_printable")])
def test_leaning_parts_tip_over(check: Examine, lean: float, verdict: str) -> None:
    found = check(shapes.prism([(0, 0), (10, 0), (10, 10), (0, 10)], 40, lean=(lean, 0)))
    assert found.document["verdict"] == verdict
    if lean > 10:
        over = finding(found, "stability.tips_over")
        assert over["measured"] == pytest.approx(10 - (5 + lean / 2), abs=0.06)
        assert over["places"][0]["at_mm"] == pytest.approx([11, 5, 20], abs=0.01)


def test_a_needle_is_shaky(check: Examine) -> None:
    assert finding(check(shapes.box(2, 2, 80)), "stability.tip")["measured"] == pytest.approx(1.432, abs=0.02)


@pytest.mark.parametrize(("unit", "scale"), [("inch", 1 / 25.4), ("m", 1 / 1000)])
def test_a_file_in_another_unit_is_a_question(check: Examine, unit: str, scale: float) -> None:
    points, faces = shapes.box(20, 20, 20)
    found = check((points * scale, faces))
    assert found.document["verdict"] == "undetermined"
    assert f"--unit {unit}" in finding(found, "size.units")["remedy"]
    assert found.document["mesh"]["size_mm"] == pytest.approx([20, 20, 20], rel=1e-5)
    answered = check((points * scale, faces), unit=unit)
    assert answered.document["verdict"] == "printable"
    as_is = check((points * scale, faces), unit="mm")
    assert "size.units" not in ids(as_is)
    assert as_is.document["mesh"]["size_mm"][0] == pytest.approx(20 * scale, rel=1e-4)


def test_a_micron_file_is_a_question(check: Examine) -> None:
    points, faces = shapes.box(20, 20, 20)
    assert "--unit micron" in finding(check((points * 1000, faces)), "size.units")["remedy"]


def test_what_does_not_fit_is_refused(check: Examine) -> None:
    long = finding(check(shapes.box(600, 20, 20)), "size.fits_bed")
    assert long["severity"] == "error"
    assert (long["measured"], long["limit"]) == (600, 396)


def test_what_fits_only_turned_is_told_the_angle(check: Examine, limits: Limits) -> None:
    narrow = replace(limits, volume_mm=(104.0, 304.0, 100.0))
    found = check(shapes.box(200, 50, 20), limits=narrow)
    assert "turn it by" in finding(found, "size.fits_turned")["remedy"]
    assert found.document["verdict"] == "printable_with_warnings"


def test_too_flat_is_refused(check: Examine) -> None:
    flat = finding(check(shapes.box(20, 20, 0.3)), "size.too_flat")
    assert (flat["severity"], flat["measured"], flat["limit"]) == ("error", pytest.approx(0.3, abs=1e-4), 0.4)


def test_supports_and_material_are_estimated(check: Examine) -> None:
    estimate = check(shapes.bridge(80)).document["estimate"]
    assert estimate["support_volume_mm3"] == pytest.approx(80 * 20 * 15, rel=0.03)
    assert 0 < estimate["time_low_s"] < estimate["time_high_s"]
    full = check(shapes.box(20, 20, 20)).document["estimate"]
    assert 8000 * 0.15 < full["material_mm3"] < 8000
    assert full["mass_g"] == pytest.approx(full["material_mm3"] * 1.24e-3, rel=0.01)


def test_a_part_on_its_edge_has_no_footing(check: Examine) -> None:
    points, faces = shapes.box(20, 20, 20)
    half = math.sqrt(0.5)
    turn = np.array([[1.0, 0, 0], [0, half, -half], [0, half, half]])
    found = check((points @ turn, faces))
    assert finding(found, "bed.contact")["measured"] < 20 * 0.25
