"""The client against servers that misbehave and sockets that are not what they should be."""

from __future__ import annotations

import contextlib
import io
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.control.client import ControlClient, segment
from agent.domain.errors import FabunitError, NoDaemonError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short name."""
    with tempfile.TemporaryDirectory(prefix="fab") as name:
        yield Path(name)


@contextlib.contextmanager
def answering(directory: Path, answer: bytes, *, hold_open: bool = False) -> Iterator[ControlClient]:
    """A server that sends the same bytes to one caller, whatever is asked."""
    path = directory / "f.sock"
    done = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                with contextlib.suppress(BrokenPipeError):
                    connection.sendall(answer)
                if hold_open:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ControlClient(path, timeout_s=0.2 if hold_open else 5)
        finally:
            done.set()
            thread.join(10)


def test_no_socket_no_daemon(directory: Path) -> None:
    with pytest.raises(NoDaemonError) as caught:
        ControlClient(directory / "f.sock").get("/v1/status")
    assert str(directory / "f.sock") in caught.value.message
    assert "fabunit run" in caught.value.remedy
    assert "systemctl start fabunit@" in caught.value.remedy


def test_a_dead_daemons_socket_is_no_daemon(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(directory / "f.sock"))
    client = ControlClient(directory / "f.sock")
    calls: list[Callable[[], object]] = [
        lambda: client.get("/v1/status"),
        lambda: next(client.stream("/v1/logs/stream")),
        lambda: client.upload("/v1/jobs", io.BytesIO(b"x"), 1, name="a"),
    ]
    for call in calls:
        with pytest.raises(NoDaemonError):
            call()


def test_a_file_in_place_of_the_socket_is_no_daemon(directory: Path) -> None:
    (directory / "f.sock").write_text("")
    with pytest.raises(NoDaemonError):
        ControlClient(directory / "f.sock").get("/v1/status")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 banana OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
def test_a_daemon_that_hangs_up_or_talks_nonsense(directory: Path, answer: bytes) -> None:
    with answering(directory, answer) as client, pytest.raises(NoDaemonError, match="hung up"):
        client.get("/v1/status")


def test_a_daemon_that_hangs_is_given_up(directory: Path) -> None:
    with answering(directory, b"", hold_open=True) as client, pytest.raises(FabunitError) as caught:
        client.get("/v1/status")
    assert (caught.value.code, caught.value.exit_code) == ("timeout", 1)


def test_a_stream_that_falls_silent_is_given_up(directory: Path) -> None:
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"n": 1}\n\r\n'
    with answering(directory, head, hold_open=True) as client:
        stream = client.stream("/v1/status/stream", silence_s=0.2)
        assert next(stream) == {"n": 1}
        with pytest.raises(FabunitError) as caught:
            next(stream)
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    ("answer", "code", "exit_code"),
    [
        (b'HTTP/1.1 409 C\r\n\r\n{"error": {"code": "x", "message": "m", "remedy": "r"}}', "x", 4),
        (b'HTTP/1.1 404 C\r\n\r\n{"error": {"code": "x", "message": "m", "remedy": "r"}}', "x", 5),
        (b'HTTP/1.1 507 C\r\n\r\n{"error": {"code": "disk_full", "message": "m"}}', "disk_full", 1),
        (b"HTTP/1.1 400 C\r\n\r\nInvalid HTTP request received.", "usage", 2),
        (b"HTTP/1.1 500 C\r\n\r\n[1]", "failed", 1),
        (b'HTTP/1.1 418 C\r\n\r\n{"error": 7}', "failed", 1),
    ],
)
def test_errors_keep_their_meaning(directory: Path, answer: bytes, code: str, exit_code: int) -> None:
    with answering(directory, answer) as client, pytest.raises(FabunitError) as caught:
        client.get("/v1/status")
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert caught.value.message


def test_an_answer_that_is_no_document_is_an_error(directory: Path) -> None:
    with (
        answering(directory, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]") as client,
        pytest.raises(FabunitError, match="document"),
    ):
        client.get("/v1/status")


def test_a_daemon_that_refuses_before_the_upload_ends_is_heard(directory: Path) -> None:
    body = b'{"error": {"code": "too_large", "message": "m"}}'
    refusal = b"HTTP/1.1 413 C\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with answering(directory, refusal) as client, pytest.raises(FabunitError) as caught:
        client.upload("/v1/jobs", io.BytesIO(b"x" * 20_000_000), 20_000_000, name="a.gcode")
    assert caught.value.code == "too_large"


def test_typed_ids_cannot_leave_their_place_in_the_path() -> None:
    assert segment("..x?y#z") == "..x%3Fy%23z"
    for nonsense in ("", "../x", "/"):
        with pytest.raises(NotFoundError, match="nothing has the id"):
            segment(nonsense)


def test_the_client_loads_nothing_heavy() -> None:
    code = (
        "import sys, agent.control.client; "
        "heavy = ('pydantic', 'asyncio', 'structlog', 'h11', 'rich', 'click'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
