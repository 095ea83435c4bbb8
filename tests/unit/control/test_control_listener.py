"""The socket: made safely, never taken from a living daemon, removed at the end."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.control.listener import ListenError, open_listener

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short name: socket paths are limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fab") as name:
        yield Path(name)


def leave_stale(path: Path) -> None:
    """Leave what a killed daemon leaves."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))


def test_modes_of_socket_directory_and_lock(directory: Path) -> None:
    path = directory / "a" / "b" / "f.sock"
    listener = open_listener(path)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        assert stat.S_IMODE(Path(f"{path}.lock").stat().st_mode) == 0o600
    finally:
        listener.close()
    listener.close()
    assert not path.exists()


def test_nobody_can_connect_before_the_mode_is_right(directory: Path) -> None:
    listener = open_listener(directory / "f.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early, pytest.raises(ConnectionRefusedError):
        early.connect(str(directory / "f.sock"))
    listener.close()


def test_a_stale_socket_is_replaced(directory: Path) -> None:
    path = directory / "f.sock"
    leave_stale(path)
    open_listener(path).close()
    assert not path.exists()


def test_a_living_daemon_keeps_its_socket(directory: Path) -> None:
    path = directory / "f.sock"
    first = open_listener(path)
    with pytest.raises(ListenError) as caught:
        open_listener(path)
    assert (caught.value.code, path.exists()) == ("socket_busy", True)
    first.close()


def test_a_living_stranger_without_our_lock_keeps_it_too(directory: Path) -> None:
    path = directory / "f.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.bind(str(path))
        stranger.listen()
        with pytest.raises(ListenError) as caught:
            open_listener(path)
        assert (caught.value.code, path.exists()) == ("socket_busy", True)


def test_a_stranger_that_does_not_accept_keeps_it_too(directory: Path) -> None:
    path = directory / "f.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.bind(str(path))
        stranger.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as filler:
            filler.connect(str(path))
            with pytest.raises(ListenError) as caught:
                open_listener(path)
        assert (caught.value.code, path.exists()) == ("socket_busy", True)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(directory: Path, kind: str) -> None:
    path = directory / "f.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(directory / "elsewhere")
    with pytest.raises(ListenError) as caught:
        open_listener(path)
    assert caught.value.code == "socket_path"
    assert os.path.lexists(path)


def test_a_failed_attempt_leaves_the_lock_free(directory: Path) -> None:
    path = directory / "f.sock"
    path.write_text("in the way")
    with pytest.raises(ListenError):
        open_listener(path)
    path.unlink()
    open_listener(path).close()


def test_a_path_too_long_for_the_kernel_says_so(directory: Path) -> None:
    with pytest.raises(ListenError, match="longer than 107 bytes") as caught:
        open_listener(directory / ("x" * 120))
    assert "--socket" in caught.value.remedy


def test_a_lock_that_is_a_link_is_not_followed(directory: Path) -> None:
    target = directory / "victim"
    (directory / "f.sock.lock").symlink_to(target)
    with pytest.raises(ListenError):
        open_listener(directory / "f.sock")
    assert not target.exists()


@pytest.mark.parametrize(
    ("parent", "code"), [("/proc/fabunit-test", "socket_failed"), ("/dev/null/x", "socket_failed")]
)
def test_an_impossible_place_is_explained(parent: str, code: str) -> None:
    with pytest.raises(ListenError, match="cannot be made") as caught:
        open_listener(Path(parent) / "f.sock")
    assert caught.value.code == code
    assert caught.value.remedy


def test_the_socket_of_a_successor_is_not_removed(directory: Path) -> None:
    path = directory / "f.sock"
    listener = open_listener(path)
    path.unlink()
    leave_stale(path)
    listener.close()
    assert path.exists()
