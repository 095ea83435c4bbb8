"""Readers: every format gives the same mesh, and the same mesh as trimesh."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.inspect import inspect
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.solid import Solid
from agent.mesh.geometry.survey import Survey, survey
from agent.mesh.load.read import read
from agent.mesh.load.source import TriangleSource
from tests.unit.mesh import shapes
from tests.unit.mesh.shapes import Mesh, box, model_xml, package, write

SHAPE = shapes.joined(shapes.plate_with_hole(3.0), shapes.cylinder(4.3, 7.7, 17, (30.25, -3.5, 1e-3)))


def load(tmp_path: Path, name: str, content: bytes, scale: float = 1.0) -> TriangleSource:
    path = write(tmp_path, name, content)
    return read(path, inspect(path), scale)


def corners(source: TriangleSource) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.concatenate(list(source.blocks()))


def surveyed(source: TriangleSource) -> Survey:
    return survey(source, VertexHash(7), overhang_deg=45.0, bed_mm=0.1)


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("a.stl", shapes.stl), ("a.stl", shapes.stl_text), ("a.obj", shapes.obj), ("a.off", shapes.off),
        ("a.ply", lambda mesh: shapes.ply(mesh, order="<")), ("a.ply", lambda mesh: shapes.ply(mesh, order=">")),
        ("a.ply", lambda mesh: shapes.ply(mesh, order="")), ("a.amf", shapes.amf), ("a.3mf", shapes.threemf),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_triangles(
    tmp_path: Path, name: str, writer: Callable[[Mesh], bytes]
) -> None:
    wanted = SHAPE[0][SHAPE[1]].astype(np.float32)
    np.testing.assert_array_equal(corners(load(tmp_path, name, writer(SHAPE))), wanted)


@pytest.mark.parametrize("name", ["stl", "obj", "off", "ply"])
def test_trimesh_agrees(tmp_path: Path, name: str) -> None:
    content = shapes.FORMATS[name](SHAPE)
    theirs = trimesh.load_mesh(io.BytesIO(content), file_type=name)
    source = load(tmp_path, f"a.{name}", content)
    ours = surveyed(source)
    assert ours.triangles == len(theirs.faces)
    assert ours.volume_mm3 == pytest.approx(theirs.volume, rel=1e-6)
    assert ours.area_mm2 == pytest.approx(theirs.area, rel=1e-6)
    assert ours.centre == pytest.approx(theirs.center_mass, abs=1e-4)
    assert np.stack([ours.low, ours.high]) == pytest.approx(theirs.bounds, abs=1e-5)
    solid = Solid.merge(source, VertexHash(3))
    assert len(solid.vertices) == len(theirs.vertices)
    assert ours.edges.is_closed == theirs.is_watertight
    assert solid.bodies[1] == 2


def test_units_of_a_3mf_become_millimetres(tmp_path: Path) -> None:
    for unit, factor in (("micron", 0.001), ("centimeter", 10.0), ("inch", 25.4), ("meter", 1000.0)):
        found = surveyed(load(tmp_path, "a.3mf", package(model_xml(box(1, 2, 3), unit=unit))))
        assert found.size == pytest.approx(np.array([1, 2, 3]) * factor, rel=1e-6)


def test_units_of_an_amf_become_millimetres(tmp_path: Path) -> None:
    assert surveyed(load(tmp_path, "a.amf", shapes.amf(box(1, 2, 3), "inch"))).size == pytest.approx(
        [25.4, 50.8, 76.2]
    )


def test_transforms_of_a_3mf_are_applied(tmp_path: Path) -> None:
    turned = package(model_xml(box(1, 2, 3), transform="0 1 0 -1 0 0 0 0 1 10 20 30"))
    found = surveyed(load(tmp_path, "a.3mf", turned))
    assert found.low == pytest.approx([8, 20, 30])
    assert found.volume_mm3 == pytest.approx(6)


def test_a_mirrored_object_is_not_inside_out(tmp_path: Path) -> None:
    found = surveyed(
        load(tmp_path, "a.3mf", package(model_xml(box(1, 2, 3), transform="-1 0 0 0 1 0 0 0 1 0 0 0")))
    )
    assert found.volume_mm3 == pytest.approx(6)


def test_components_are_placed_through_all_levels(tmp_path: Path) -> None:
    extra = (
        '<object id="2"><components><component objectid="1" transform="1 0 0 0 1 0 0 0 1 10 0 0"/>'
        '<component objectid="1"/></components></object>'
        '<object id="3"><components><component objectid="2" transform="2 0 0 0 2 0 0 0 2 0 100 0"/>'
        "</components></object>"
    )
    content = package(
        model_xml(box(1, 2, 3), extra=extra).replace('<item objectid="1"', '<item objectid="3"')
    )
    found = surveyed(load(tmp_path, "a.3mf", content))
    assert found.triangles == 24
    assert found.volume_mm3 == pytest.approx(2 * 6 * 8)
    assert (found.low[1], found.high[0]) == (100, 22)


_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"


@pytest.mark.parametrize(
    "change",
    [
        lambda xml: xml.replace("<vertices>", "<!-- </mesh> --><vertices>"),
        lambda xml: xml.replace("<resources>", "<!-- <mesh> --><resources>"),
        lambda xml: xml.replace('v1="', 'p1="7" v1="'),
        lambda xml: xml.replace("/><vertex", "></vertex><vertex"),
        lambda xml: re.sub(r'([xyz])="([^"]*)"', r"\1='\2'", xml),
        lambda xml: xml.replace("<", "<m:").replace("<m:/", "</m:").replace("<m:?", "<?").replace("xmlns=", "xmlns:m="),
        lambda xml: xml.replace("/>", "\n  />"),
        lambda xml: xml.replace("<triangle v1", "<triangle\n\tv1"),
    ],
)  # fmt: skip
def test_unusual_spellings_of_a_3mf_are_read(tmp_path: Path, change: Callable[[str], str]) -> None:
    xml = change(model_xml(SHAPE))
    wanted = SHAPE[0][SHAPE[1]].astype(np.float32)
    np.testing.assert_array_equal(corners(load(tmp_path, "a.3mf", package(xml))), wanted)


def test_attributes_in_another_order_are_not_mixed_up(tmp_path: Path) -> None:
    xml = model_xml(box(1, 2, 3))
    swapped = xml.replace("v1=", "v?=").replace("v2=", "v1=").replace("v?=", "v2=")
    assert surveyed(load(tmp_path, "a.3mf", package(swapped))).volume_mm3 == pytest.approx(-6)


def test_a_package_of_several_parts_is_read(tmp_path: Path) -> None:
    part = model_xml(box(1, 2, 3))
    root = (
        f'<model unit="millimeter" xmlns="{_CORE}" xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06">'
        '<resources><object id="8"><components><component p:path="/3D/Objects/a.model" objectid="1"/>'
        "</components></object>"
        '</resources><build><item objectid="8"/></build></model>'
    )
    content = package(root, more={"3D/Objects/a.model": part.encode()})
    assert surveyed(load(tmp_path, "a.3mf", content)).volume_mm3 == pytest.approx(6)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "file.malformed"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "file.malformed"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf -9 1 2\n", "file.malformed"),
        ("a.obj", b"v 0 0 0\nv 1 0 x\nv 0 1 0\nf 1 2 3\n", "file.malformed"),
        ("a.obj", b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "file.malformed"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "file.malformed"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n9 0 1 2\n", "file.malformed"),
        ("a.stl", shapes.stl_text(box(1, 1, 1)).replace(b".", b","), "file.malformed"),
        ("a.amf", shapes.amf(box(1, 1, 1)).replace(b"<v1>0<", b"<v1>99<"), "file.malformed"),
        ("a.amf", shapes.amf(box(1, 1, 1), "furlong"), "file.malformed"),
        ("a.amf", shapes.amf(box(1, 1, 1))[:-9], "file.malformed"),
        ("a.3mf", package(model_xml(box(1, 1, 1)).replace('v1="0"', 'v1="99"')), "file.malformed"),
        ("a.3mf", package(model_xml(box(1, 1, 1)).replace('x="1.0"', 'x="one"')), "file.malformed"),
        ("a.3mf", package(model_xml(box(1, 1, 1)).replace('x="1.0"', "")), "file.malformed"),
        ("a.3mf", package(model_xml(box(1, 1, 1), transform="0 0 0 0 0 0 0 0 0 0 0 0")), "file.malformed"),
        ("a.step", b"ISO-10303-21;\nHEADER;\n", "file.unsupported"),
    ],
)  # fmt: skip
def test_broken_content_is_refused(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    with pytest.raises(MeshFileError) as caught:
        load(tmp_path, name, content)
    assert caught.value.code == code


def test_polygons_are_cut_into_triangles(tmp_path: Path) -> None:
    square = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n"
    assert load(tmp_path, "a.obj", square).count == 2
    assert surveyed(
        load(tmp_path, "a.obj", square.replace(b"f 1 2 3 4", b"f -4 -3 -2 -1"))
    ).area_mm2 == pytest.approx(1)
    assert surveyed(
        load(tmp_path, "a.off", b"OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
    ).area_mm2 == pytest.approx(1)


def test_an_obj_opens_no_other_file(tmp_path: Path) -> None:
    other = tmp_path / "secret.mtl"
    other.write_text("newmtl x\n")
    before = other.stat().st_atime_ns
    load(tmp_path, "a.obj", b"mtllib secret.mtl\n" + shapes.obj(box(1, 1, 1)))
    assert other.stat().st_atime_ns == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(shapes.FORMATS)))
def test_damaged_files_end_in_a_typed_refusal_or_a_mesh(
    tmp_path: Path, data: st.DataObject, name: str
) -> None:
    content = bytearray(shapes.FORMATS[name](box(20, 20, 20)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)) | st.just(len(content)))
    refused, found = None, None
    try:
        with np.errstate(all="ignore"):
            found = surveyed(load(tmp_path, f"a.{name}", bytes(content[:cut])))
    except MeshFileError as error:
        refused = error
    if found is None:
        assert refused is not None
        assert refused.message
        assert refused.code.startswith(("file.", "mesh."))
    else:
        assert found.triangles > 0
