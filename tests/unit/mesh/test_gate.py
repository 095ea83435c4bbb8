"""The gate: every lie is refused with its reason before a parser sees the file, in bounded time and memory."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.bounds import DEFAULT_BOUNDS
from agent.mesh.gate.facts import MeshFormat
from agent.mesh.gate.inspect import inspect
from tests.unit.mesh import shapes
from tests.unit.mesh.shapes import box, model_xml, package, stl, stl_text, write

CUBE = box(20, 20, 20)
_PLY = b"ply\nformat ascii 1.0\n"


def refusal(tmp_path: Path, name: str, content: bytes) -> MeshFileError:
    with pytest.raises(MeshFileError) as caught:
        inspect(write(tmp_path, name, content))
    assert caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.stl", stl(CUBE), MeshFormat.STL_BINARY),
        ("a.STL", stl(CUBE, b"solid this is binary all the same"), MeshFormat.STL_BINARY),
        ("a.stl", stl_text(CUBE), MeshFormat.STL_ASCII),
        ("a.stl", stl_text(CUBE).replace(b"\n", b"\r"), MeshFormat.STL_ASCII),
        ("a.stl", stl_text(CUBE).upper(), MeshFormat.STL_ASCII),
        ("a.obj", shapes.obj(CUBE), MeshFormat.OBJ),
        ("a.off", shapes.off(CUBE), MeshFormat.OFF),
        ("a.ply", shapes.ply(CUBE), MeshFormat.PLY),
        ("a.amf", shapes.amf(CUBE), MeshFormat.AMF),
        ("a.3mf", shapes.threemf(CUBE), MeshFormat.THREE_MF),
        ("no-extension", stl(CUBE), MeshFormat.STL_BINARY),
    ],
)
def test_sound_files_pass(tmp_path: Path, name: str, content: bytes, wanted: MeshFormat) -> None:
    facts = inspect(write(tmp_path, name, content))
    assert facts.format is wanted
    assert facts.triangles == 12


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.stl", b"", "file.empty"),
        ("a.stl", b"\0" * 60, "file.truncated"),
        ("a.stl", stl(CUBE)[:-1], "file.truncated"),
        ("a.stl", stl(CUBE)[:84], "file.truncated"),
        ("a.stl", stl(CUBE) + b"more", "file.count_mismatch"),
        ("a.stl", b"\0" * 84, "mesh.empty"),
        ("a.stl", b"\0" * 80 + b"\xff\xff\xff\xff" + b"\0" * 50, "file.truncated"),
        ("a.stl", stl_text(CUBE)[:-20], "file.truncated"),
        ("a.stl", b"solid nothing\nendsolid nothing\n", "mesh.empty"),
        ("a.stl", stl_text(CUBE).replace(b"vertex", b"vortex", 1), "file.malformed"),
        ("a.stl", stl_text(CUBE).decode().encode("utf-16"), "file.malformed"),
        ("a.stl", shapes.obj(CUBE), "file.wrong_extension"),
        ("a.obj", stl(CUBE), "file.wrong_extension"),
        ("a.3mf", b"not a zip at all", "file.unknown_format"),
        ("a.3mf", b"PK\x03\x04" + b"\0" * 100, "file.malformed"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "mesh.empty"),
        ("a.off", b"OFF\n-1 -1 0\n", "file.malformed"),
        ("a.off", b"OFF\n4000000 4000000 0\n0 0 0\n", "file.truncated"),
        ("a.ply", shapes.ply(CUBE)[:-30], "file.truncated"),
        ("a.ply", _PLY + b"element vertex 4000000000\nproperty float x\nend_header\n", "file.truncated"),
        ("a.ply", _PLY + b"element vertex 3\nproperty long x\nend_header\n" + b"0 " * 9, "file.malformed"),
        ("a.amf", b'<!DOCTYPE amf [<!ENTITY a "b">]><amf><triangle></triangle></amf>', "file.hostile"),
        ("a.amf", b'<?xml version="1.0"?><amf></amf>', "mesh.empty"),
        ("a.gcode", b"G28\nG1 X10\n", "file.unknown_format"),
    ],
)  # fmt: skip
def test_lies_are_refused(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    assert refusal(tmp_path, name, content).code == code


def test_both_numbers_of_a_wrong_count_are_told(tmp_path: Path) -> None:
    content = bytearray(stl(CUBE))
    content[80] = 5
    message = refusal(tmp_path, "a.stl", bytes(content)).message
    assert "5" in message
    assert "12" in message


def _archive(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


_EXTERNAL = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r" Target="/3D/3dmodel.model" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>'
    '<Relationship Id="s" Target="{}" Type="x"/></Relationships>'
)
_LEVEL = '<object id="{}"><components>{}</components></object>'
_CYCLE = _LEVEL.format(2, '<component objectid="3"/>') + _LEVEL.format(3, '<component objectid="2"/>')
_BOMB = "".join(_LEVEL.format(n, f'<component objectid="{n - 1}"/>' * 10) for n in range(2, 12))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (package(b"<model" + b" " * (8 << 20)), "file.hostile"),
        (package(model_xml(CUBE).replace("<model", "<!DOCTYPE model [<!ENTITY a 'b'>]><model")), "file.hostile"),
        (package(model_xml(CUBE), more={"../../etc/cron.d/x": b"x"}), "file.hostile"),
        (package(model_xml(CUBE), more={"C:/x": b"x"}), "file.hostile"),
        (package(model_xml(CUBE), more={"a": b"x", "A": b"x"}), "file.malformed"),
        (package(model_xml(CUBE), relations=_EXTERNAL.format("http://example.org/x")), "file.hostile"),
        (package(model_xml(CUBE), relations=_EXTERNAL.format("C:/x.png")), "file.hostile"),
        (package(model_xml(CUBE), relations="<Relationships/>"), "file.malformed"),
        (package(model_xml(CUBE, extra=_CYCLE).replace('<item objectid="1"', '<item objectid="2"')), "file.hostile"),
        (package(model_xml(CUBE, extra=_BOMB).replace('<item objectid="1"', '<item objectid="11"')), "file.hostile"),
        (package(model_xml(CUBE).replace("<build>", "<build>" + '<item objectid="1"/>' * 30000)), "file.hostile"),
        (package(model_xml(CUBE).replace('objectid="1"', 'objectid="9"')), "file.malformed"),
        (package(model_xml(CUBE).replace("<build>", "<a>" * 40 + "</a>" * 40 + "<build>")), "file.hostile"),
        (package(model_xml(CUBE, transform="1 0 0 0 1 0 0 0 1 0 0 nan")), "mesh.nonfinite"),
        (package(model_xml(CUBE, transform="1 0 0")), "file.malformed"),
        (package(model_xml(CUBE, unit="parsec")), "file.malformed"),
        (package(model_xml(CUBE)[:-40]), "file.malformed"),
        (package(model_xml(CUBE).encode("utf-32")), "file.malformed"),
        (package(model_xml(CUBE).replace("<build>", "<build><!--").replace("</build>", "--></build>")), "mesh.empty"),
        (_archive({"x.txt": b"x"}), "file.malformed"),
        (_archive({f"{n}.txt": b"x" for n in range(5000)}), "file.hostile"),
    ],
)  # fmt: skip
def test_hostile_packages_are_refused(tmp_path: Path, content: bytes, code: str) -> None:
    assert refusal(tmp_path, "a.3mf", content).code == code


def test_a_sliced_archive_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Also where a mesh is in it: whoever sends it wants the G-code, which was made for another printer."""
    for content in (
        package(model_xml(CUBE), more={"Metadata/plate_1.gcode": b"G28\n"}),
        _archive({"Metadata/plate_12.gcode": b"G28\n"}),
    ):
        refused = refusal(tmp_path, "a.gcode.3mf", content)
        assert refused.code == "file.unsupported"
        assert ".gcode.3mf" in refused.message
        assert "plain .gcode" in refused.remedy


def test_every_refusal_has_a_remedy(tmp_path: Path) -> None:
    for content in (
        b"",
        b"PK\x03\x04",
        package("<model>"),
        package(model_xml(CUBE, unit="parsec")),
        shapes.stl(CUBE),
    ):
        assert refusal(tmp_path, "a.3mf", content).remedy


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(shapes.threemf(CUBE))
    at = content.index(b"[Content_Types].xml") + 30
    content[at] ^= 0xFF
    assert refusal(tmp_path, "a.3mf", bytes(content)).code == "file.malformed"


def test_an_understated_member_is_stopped_while_unpacking(tmp_path: Path) -> None:
    """The header of a member may say anything: what counts is what comes out."""
    content = bytearray(
        package(model_xml(CUBE).replace("<resources>", "<!--" + "x" * 9_000_000 + "--><resources>"))
    )
    real = (9_000_000 + len(model_xml(CUBE)) + 7).to_bytes(4, "little")
    assert content.count(real) == 2
    patched = bytes(content).replace(real, (5000).to_bytes(4, "little"))
    assert refusal(tmp_path, "a.3mf", patched).code in ("file.hostile", "file.malformed")


def test_bounds_are_bounds(tmp_path: Path) -> None:
    path = write(tmp_path, "a.stl", stl(CUBE))
    for bounds in (replace(DEFAULT_BOUNDS, max_triangles=11), replace(DEFAULT_BOUNDS, max_file_bytes=600)):
        with pytest.raises(MeshFileError) as caught:
            inspect(path, bounds=bounds)
        assert caught.value.code == "file.too_large"


def test_a_folder_is_no_mesh(tmp_path: Path) -> None:
    with pytest.raises(MeshFileError):
        inspect(tmp_path)


def test_what_is_not_printed_is_not_counted(tmp_path: Path) -> None:
    other = '<object id="2" type="other"><mesh><vertices/><triangles/></mesh></object>'
    content = package(
        model_xml(CUBE, extra=other).replace(
            "</build>", '<item objectid="2"/><item objectid="1" printable="0"/></build>'
        )
    )
    facts = inspect(write(tmp_path, "a.3mf", content))
    assert facts.plan is not None
    assert len(facts.plan.instances) == 1


def test_the_daemon_side_loads_no_arrays() -> None:
    """Gate, client, cache, limits and verdict are the daemon's: they must not bring numpy, PIL or trimesh."""
    code = (
        "import sys, agent.mesh.client, agent.mesh.cache, agent.mesh.gate.inspect, agent.mesh.limits\n"
        "import agent.mesh.verdict\n"
        "import agent.mesh.report.text, agent.mesh.request, agent.mesh.report.document\n"
        "print([name for name in ('numpy', 'trimesh', 'PIL') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
