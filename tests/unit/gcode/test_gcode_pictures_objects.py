"""Preview pictures and object names come from strangers' comments: taken only when they are what they claim."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gcode.objects import MAX_OBJECTS, read_objects
from agent.gcode.thumbnails import MAX_THUMBNAILS, read_thumbnails

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
JPG = b"\xff\xd8\xff\xe0" + b"j" * 100
QOI = b"qoif" + b"q" * 50


def block(data: bytes, width: int = 220, height: int = 124, kind: str = "", size: int | None = None) -> str:
    text = base64.b64encode(data).decode()
    lines = [f"; {text[at : at + 78]}" for at in range(0, len(text), 78)]
    name = f"thumbnail{kind}"
    return "\n".join([f"; {name} begin {width}x{height} {size or len(text)}", *lines, f"; {name} end", ""])


def test_pictures_of_all_kinds_are_found_largest_first() -> None:
    head = f";\n{block(JPG, 16, 16, '_JPG')};\n{block(PNG)}\n{block(QOI, 32, 32, '_QOI')}G28\n"
    found = read_thumbnails(head.encode())
    assert [(p.width_px, p.height_px, p.format) for p in found] == [
        (220, 124, "png"), (32, 32, "qoi"), (16, 16, "jpg"),
    ]  # fmt: skip
    assert found[0].data == PNG
    assert read_thumbnails(head.replace("\n", "\r\n").encode()) == found


@pytest.mark.parametrize(
    "head",
    ["", "; thumbnail begin 220x124 9\n; AAAA\n", block(b"GIF89a"), block(PNG, 0, 5), block(PNG, 9999, 5),
     block(PNG).replace("; iVBOR", "; ====="), "; thumbnail begin axb 3\n; AAAA\n; thumbnail end\n",
     block(b"<svg onload=alert(1)>")],
)  # fmt: skip
def test_broken_pictures_are_left_out(head: str) -> None:
    assert read_thumbnails(head.encode()) == ()


def test_no_more_than_a_few_pictures() -> None:
    assert len(read_thumbnails((block(PNG) * 40).encode())) == MAX_THUMBNAILS


@pytest.mark.parametrize(
    ("text", "names"),
    [("; printing object bracket.stl id:0 copy 0\nG1 X1\n; printing object lid id:1 copy 0\n", ("bracket.stl", "lid")),
     (";MESH:C:\\Users\\jo\\plans\\bracket.stl\n;MESH:NONMESH\n;MESH:/home/jo/lid.stl\n", ("bracket.stl", "lid.stl")),
     ("EXCLUDE_OBJECT_DEFINE NAME=bracket_id_0 CENTER=1,2 POLYGON=[[1,2]]\n", ("bracket_id_0",)),
     ('M486 S0 A"bracket"\nM486 S-1\n', ("bracket",)), (";PRINTING: lid\n", ("lid",)),
     ('; objects_info = {"objects":[{"name":"a.stl","polygon":[]},{"name":"b"}]}\n', ("a.stl", "b")),
     ("; objects_info = {broken\n", ()), ('; objects_info = {"objects":5}\n', ()), ("G28\n", ())],
)  # fmt: skip
def test_names_of_objects(text: str, names: tuple[str, ...]) -> None:
    assert read_objects(text.encode(), b"") == names


def test_names_are_bounded_and_printable() -> None:
    many = "".join(f"; printing object p{n}\x1b[2J id:{n} copy 0\n" for n in range(1000))
    found = read_objects(many.encode(), b"")
    assert len(found) == MAX_OBJECTS
    assert all(name.isprintable() and len(name) <= 80 for name in found)


@given(st.binary(max_size=2000))
def test_any_bytes_are_survived(data: bytes) -> None:
    marked = (
        b"; thumbnail begin 1x1 4\n"
        + data
        + b"\n; thumbnail end\n; objects_info = {"
        + data
        + b"}\n;MESH:"
        + data
    )
    assert len(read_objects(marked, data)) <= MAX_OBJECTS
    assert len(read_thumbnails(marked)) <= MAX_THUMBNAILS
