"""Who holds a port: made-up process tables, and a descriptor that outlives the name space it was opened in."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.printer.port.holders import holders
from tests.unit.printer.port_peers import Terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.hang_up()


_HAND_OVER = """
import os, socket, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"x"], [fd])
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="util-linux is not installed")
def test_a_port_handed_over_by_a_service_that_ended(terminal: Terminal) -> None:
    """As systemd and the next daemon have it: the kernel shows the descriptor as /3, not as /dev/pts/3."""
    ours, theirs = socket.socketpair()
    command = ["unshare", "--mount", sys.executable, "-c", _HAND_OVER, terminal.path, str(theirs.fileno())]
    with ours, theirs:
        done = subprocess.run(command, pass_fds=[theirs.fileno()], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"no name space can be made here: {done.stderr.decode().strip()}")
        _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[descriptor]) as other:
        assert Path(f"/proc/{other.pid}/fd/{descriptor}").readlink() != Path(terminal.path)
        found = [(holder.pid, holder.program) for holder in holders(Path(terminal.path))]
        other.communicate()
        assert found == [(other.pid, "cat")]
    os.close(descriptor)


def test_holders_of_a_made_up_proc(tmp_path: Path) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    for pid, program, target in (
        (7, "octoprint", device),
        (8, "bash", tmp_path),
        (os.getpid(), "we", device),
    ):
        (tmp_path / "proc" / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "comm").write_text(f"{program}\n")
        (tmp_path / "proc" / str(pid) / "fd" / "3").symlink_to(target)
    (tmp_path / "proc" / "9").mkdir()  # ended meanwhile
    (tmp_path / "proc" / "self").mkdir()
    found = holders(device, tmp_path / "proc")
    assert [(holder.pid, holder.program) for holder in found] == [(7, "octoprint")]


def test_a_descriptor_that_outlived_its_name_space_is_recognised(tmp_path: Path) -> None:
    """The kernel shows it without /dev: what it was opened through is gone."""
    device = tmp_path / "dev" / "ttyUSB0"
    device.parent.mkdir()
    device.touch()
    (tmp_path / "ttyUSB0").hardlink_to(device)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "ttyUSB0").touch()
    for pid, program, target in (
        (1, "systemd", device),
        (7, "fabunit", tmp_path / "ttyUSB0"),
        (8, "bash", tmp_path / "elsewhere" / "ttyUSB0"),
        (9, "cat", tmp_path / "gone" / "ttyUSB0"),
    ):
        (tmp_path / "proc" / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "comm").write_text(f"{program}\n")
        (tmp_path / "proc" / str(pid) / "fd" / "3").symlink_to(target)
    found = holders(device, tmp_path / "proc")
    assert [(holder.pid, holder.program) for holder in found] == [(7, "fabunit")], "systemd only keeps a copy"


def test_the_pseudo_terminals_of_a_container_are_others(tmp_path: Path, terminal: Terminal) -> None:
    """They have the same numbers and names as ours."""
    for pid, target in ((7, Path(terminal.path)), (8, tmp_path / Path(terminal.path).name)):
        (tmp_path / "proc" / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "fd" / "3").symlink_to(target)
    try:
        os.mknod(tmp_path / Path(terminal.path).name, 0o20600, Path(terminal.path).stat().st_rdev)
    except PermissionError:
        pytest.skip("only root makes devices")
    assert [holder.pid for holder in holders(Path(terminal.path), tmp_path / "proc")] == [7]
