"""Messages to a fake service manager on a datagram socket."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.ops.systemd import (
    FIRST_INHERITED_FD,
    STATUS_LIMIT,
    Notifier,
    inherited_fds,
    is_journal,
    watchdog_interval_s,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket and the value of $NOTIFY_SOCKET."""
    with (
        tempfile.TemporaryDirectory(prefix="fab") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.settimeout(5)
        if request.param == "path":
            address = str(Path(directory) / "notify")
            listening.bind(address)
        else:
            address = f"@fabunit-test-{os.getpid()}"
            listening.bind("\0" + address[1:])
        yield listening, address


def test_every_message_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    listening, address = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address})
    assert notifier.is_managed
    assert all(
        (
            notifier.ready("idle"),
            notifier.ready(),
            notifier.status("printing 42 %"),
            notifier.watchdog(),
            notifier.extend_timeout(2.5),
            notifier.stopping(),
        )
    )
    assert [listening.recv(4096) for _ in range(6)] == [
        b"READY=1\nSTATUS=idle", b"READY=1", b"STATUS=printing 42 %", b"WATCHDOG=1",
        b"EXTEND_TIMEOUT_USEC=2500000", b"STOPPING=1",
    ]  # fmt: skip


def test_a_status_cannot_smuggle_in_another_message(manager: tuple[socket.socket, str]) -> None:
    listening, address = manager
    Notifier(address).status("evil\nREADY=1\n" + "x" * 1000)
    message = listening.recv(4096).decode()
    assert "\n" not in message
    assert len(message) == len("STATUS=") + STATUS_LIMIT


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environ(environ)
    assert not notifier.is_managed
    assert not notifier.ready()


def test_a_manager_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    assert not notifier.watchdog()


def test_a_manager_that_does_not_read_never_blocks_us(manager: tuple[socket.socket, str]) -> None:
    _, address = manager
    notifier = Notifier(address)
    sent = [notifier.watchdog() for _ in range(2000)]
    assert sent[0]
    assert not sent[-1], "the queue is full and the message is dropped"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_interval_is_a_third(environ: dict[str, str], expected: float | None) -> None:
    assert watchdog_interval_s(environ, pid=7) == expected


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as file:
        found = os.fstat(file.fileno())
        assert is_journal(file.fileno(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": "1:2"})
        assert not is_journal(file.fileno(), {})
        closed = file.fileno()
    assert not is_journal(closed, {"JOURNAL_STREAM": "1:2"})


def test_a_stored_descriptor_travels_with_its_name(
    manager: tuple[socket.socket, str], tmp_path: Path
) -> None:
    listening, address = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address})
    kept = tmp_path / "kept"
    kept.write_text("still here")
    with kept.open() as file:
        assert notifier.store_fd(file.fileno(), "printer")
    message, descriptors, _, _ = socket.recv_fds(listening, 4096, 4)
    assert message == b"FDSTORE=1\nFDNAME=printer"
    with os.fdopen(descriptors[0]) as copy:
        assert copy.read() == "still here"
    assert notifier.remove_fd("printer")
    assert listening.recv(4096) == b"FDSTOREREMOVE=1\nFDNAME=printer"


def test_inherited_descriptors_are_found_by_name_and_kept_from_children(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "port", os.O_CREAT | os.O_RDWR)
    count = descriptor - FIRST_INHERITED_FD + 1
    names = ["other"] * (count - 1) + ["printer"]
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": str(count), "LISTEN_FDNAMES": ":".join(names), "HOME": "/"}
    child = os.fork()
    if child == 0:
        # In a process of its own: the others between 3 and the descriptor would be closed.
        found = inherited_fds(environ, pid=7)
        good = (
            found.get("printer") == descriptor
            and not os.get_inheritable(descriptor)
            and environ == {"HOME": "/"}
        )
        os._exit(0 if good else 1)
    os.close(descriptor)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": "8", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "printer"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "many"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "-1"},
        {"LISTEN_PID": "7", "LISTEN_FDS": ""},
    ],
)
def test_what_is_not_for_this_process_is_not_taken(environ: dict[str, str]) -> None:
    assert inherited_fds(environ, pid=7) == {}
    assert environ == {}
