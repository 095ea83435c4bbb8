from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.coordinator.fetch.allow_list import parse_allow_list
from agent.coordinator.fetch.connection import Dialler
from agent.coordinator.fetch.download import download
from agent.coordinator.fetch.order import FetchOrder
from agent.coordinator.fetch.pace import FetchLimits
from agent.coordinator.standin.file_server import FileServer, ServedFile

DATA = bytes(range(256)) * 4000
TOKEN = "ab" * 16


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    path = tmp_path / "served"
    path.write_bytes(DATA)
    files = {TOKEN: ServedFile(path, len(DATA)), "cd" * 16: ServedFile(tmp_path / "gone", 5)}
    server = FileServer("127.0.0.1", 0, files.get)
    server.start()
    yield server
    server.stop()


def ask(
    server: FileServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def test_whole_files_and_parts(server: FileServer) -> None:
    status, body, headers = ask(server, f"/files/{TOKEN}/part.gcode?x=1")
    assert (status, body) == (200, DATA)
    assert headers["Accept-Ranges"] == "bytes"
    status, body, headers = ask(server, f"/files/{TOKEN}", Range="bytes=1000-")
    assert (status, body) == (206, DATA[1000:])
    assert headers["Content-Range"] == f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"
    assert ask(server, f"/files/{TOKEN}", Range="bytes=10-19")[1] == DATA[10:20]
    assert ask(server, f"/files/{TOKEN}", Range=f"bytes={len(DATA)}-")[0] == 416
    assert ask(server, f"/files/{TOKEN}", Range="bytes=1-2,5-6")[0] == 200
    status, body, headers = ask(server, f"/files/{TOKEN}", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(DATA)))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/files/",
        "/files/../coordinator.db",
        f"/files/{'0' * 32}",
        f"/files/{'cd' * 16}",
        f"/files/{TOKEN}/a/b",
        "/" + "a" * 60000,
    ],
)
def test_nothing_else_is_served(server: FileServer, path: str) -> None:
    assert ask(server, path)[0] in (404, 414)
    assert ask(server, f"/files/{TOKEN}", "DELETE")[0] == 501


def test_the_units_own_download_takes_it_up(server: FileServer, tmp_path: Path) -> None:
    order = FetchOrder(
        url=f"http://127.0.0.1:{server.port}/files/{TOKEN}",
        sha256=hashlib.sha256(DATA).hexdigest(),
        size_bytes=len(DATA),
        part=tmp_path / "x.part",
        allowed=("127.0.0.1",),
        limits=FetchLimits(min_free_bytes=0),
    )
    order.part.write_bytes(DATA[:12345])
    dialler = Dialler(parse_allow_list(order.allowed), order.limits)
    assert download(order, dialler, lambda _done, _size: None) == len(DATA) - 12345
    assert order.part.read_bytes() == DATA
