"""The form reader: whatever the pieces, the same parts; whatever the bytes, no crash and no growth."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.web.multipart import (
    HEADERS_LIMIT_BYTES,
    Item,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
)
from agent.domain.errors import UsageError

Parts = list[tuple[str, str | None, bytes]]


def form(parts: Parts, boundary: str = "------------------------0a1b2c3d4e5f6071") -> bytes:
    """A form as curl writes it, which PrusaSlicer and OrcaSlicer use."""
    body = b""
    for name, filename, data in parts:
        shown = f'; filename="{filename}"' if filename is not None else ""
        kind = "\r\nContent-Type: application/octet-stream" if filename is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{shown}{kind}\r\n\r\n'.encode()
        body += data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def read(
    body: bytes, boundary: str = "------------------------0a1b2c3d4e5f6071", piece: int = 1 << 16
) -> Parts:
    reader = MultipartReader(boundary.encode())
    items: list[Item] = []
    for start in range(0, len(body), piece):
        items += reader.feed(body[start : start + piece])
    assert reader.is_done
    found: Parts = []
    for item in items:
        if isinstance(item, PartBegin):
            found.append((item.name, item.filename, b""))
        elif isinstance(item, PartData):
            name, filename, data = found[-1]
            found[-1] = (name, filename, data + item.data)
    assert sum(isinstance(item, PartEnd) for item in items) == len(found)
    return found


SENT: Parts = [
    ("print", None, b"true"),
    ("path", None, b""),
    ("file", "a b.gcode", b"G28\r\n--not\r\n\r\nG1\r\n"),
]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 1 << 16])
def test_any_pieces(piece: int) -> None:
    assert read(form(SENT), piece=piece) == SENT


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["file", "print"]), st.none() | st.just("x.gcode"), st.binary(max_size=300)
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 200),
)
def test_bytes_come_out_as_they_went_in(parts: Parts, piece: int) -> None:
    assert read(form(parts), piece=piece) == parts


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_garbage_is_refused_or_waited_for(body: bytes, piece: int) -> None:
    reader = MultipartReader(b"b")
    with contextlib.suppress(UsageError):
        for start in range(0, len(body), piece):
            reader.feed(b"--b\r\n" + body[start : start + piece])
            assert len(reader._buffer) <= HEADERS_LIMIT_BYTES + 600


def test_what_is_not_yet_sure_is_all_that_is_kept() -> None:
    reader = MultipartReader(b"b")
    reader.feed(b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n')
    for _ in range(100):
        reader.feed(b"\r\n--" + b"x" * 10_000)
        assert len(reader._buffer) < 20


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n" + b"A: " + b"x" * 20_000,
        b"--b\r\nA: x\r\n\r\nno disposition",
        b'--b\r\nContent-Disposition: attachment; name="x"\r\n\r\n',
        b"--b\r\nContent-Disposition: form-data\r\n\r\n",
        b"--bgarbage\r\n\r\n",
        b"--b\r\n\r\nno headers at all",
        b"".join(b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' for _ in range(30)),
    ],
)
def test_damaged_forms(body: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        MultipartReader(b"b").feed(body)
    assert caught.value.code == "bad_multipart"


@pytest.mark.parametrize(
    ("header", "name", "filename"),
    [
        ('form-data; name="file"; filename="../../etc/passwd"', "file", "../../etc/passwd"),
        ('form-data; name="file"; filename="a\\"b.gcode"', "file", 'a"b.gcode'),
        ("form-data; name=file; filename=x.gcode", "file", "x.gcode"),
        ('form-data; filename="ä ö.gcode"; name="file"', "file", "ä ö.gcode"),
        ('form-data; name="file"; filename=""', "file", ""),
    ],
)
def test_names_as_senders_write_them(header: str, name: str, filename: str) -> None:
    reader = MultipartReader(b"b")
    items = reader.feed(f"--b\r\nContent-Disposition: {header}\r\n\r\n".encode())
    assert items == [PartBegin(name, filename)]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=" + "x" * 200,
    ],
)
def test_no_form(content_type: str) -> None:
    with pytest.raises(UsageError):
        boundary_of(content_type)


def test_boundaries() -> None:
    assert (
        boundary_of("multipart/form-data; boundary=----WebKitFormBoundaryABC") == b"----WebKitFormBoundaryABC"
    )
    assert boundary_of('multipart/form-data; boundary="boundary_.oOo._a/b="') == b"boundary_.oOo._a/b="
