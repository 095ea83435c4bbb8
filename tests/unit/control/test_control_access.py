"""Who is let in: root, the daemon's own user, members of the socket's group."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.control.client import ControlClient
from agent.control.peer import AccessPolicy, Peer, group_name, read_peer
from agent.domain.errors import RefusedError
from tests.unit.control.fake_unit import printing_unit
from tests.unit.control.served import serve

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = AccessPolicy(uids=frozenset({0, 990}), gid=980, group="fabunit")


@pytest.mark.parametrize(
    ("peer", "is_let_in"),
    [
        (Peer(uid=0, gid=0, pid=1), True),
        (Peer(uid=990, gid=990, pid=1), True),
        (Peer(uid=1000, gid=980, pid=1), True),
        (Peer(uid=1000, gid=1000, pid=1, groups=frozenset({4, 980})), True),
        # A user namespace hides the account, not the membership.
        (Peer(uid=65534, gid=65534, pid=0, groups=frozenset({65534, 980})), True),
        (Peer(uid=1000, gid=1000, pid=1), False),
        (Peer(uid=1000, gid=1000, pid=1, groups=frozenset({4, 20})), False),
        (None, False),
    ],
)
def test_the_policy(peer: Peer | None, is_let_in: bool) -> None:
    assert POLICY.allows(peer) is is_let_in


def test_the_denial_names_the_group_to_join() -> None:
    denial = POLICY.denial(Peer(uid=4_000_000, gid=1000, pid=1))
    assert "4000000" in denial.message
    assert "usermod -aG fabunit" in denial.remedy
    assert (denial.http_status, denial.exit_code, denial.code) == (403, 4, "denied")


def test_the_kernel_tells_who_we_are() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        peer = read_peer(left)
    assert (peer.uid, peer.gid, peer.pid) == (os.getuid(), os.getgid(), os.getpid())
    assert peer.groups == frozenset(os.getgroups())


class OldKernelSocket:
    """Knows the credentials, not the groups."""

    def getsockopt(self, _level: int, optname: int, _buflen: int, /) -> bytes:
        if optname == socket.SO_PEERCRED:
            return struct.pack("iII", 7, 1000, 1001)
        raise OSError(92, "Protocol not available")


def test_an_old_kernel_leaves_the_main_group() -> None:
    assert read_peer(OldKernelSocket()) == Peer(uid=1000, gid=1001, pid=7)


def test_a_group_without_a_name_is_its_number() -> None:
    assert group_name(0) == "root"
    assert group_name(4_123_456) == "4123456"


def test_a_stranger_gets_403_on_every_path_and_nothing_happens() -> None:
    unit = printing_unit()
    stranger = Peer(uid=4_000_000, gid=4_000_000, pid=1)
    with serve(unit, peer_reader=lambda _: stranger) as served:
        client = served.client()
        attempts: list[Callable[[], object]] = [
            lambda: client.post("/v1/stop"),
            lambda: client.get("/v1/status"),
            lambda: next(client.stream("/v1/status/stream")),
            lambda: client.get("/v1/nothing"),
        ]
        for attempt in attempts:
            with pytest.raises(RefusedError) as caught:
                attempt()
            assert caught.value.code == "denied"
            assert "usermod -aG" in caught.value.remedy
    assert unit.printer.calls == []


def test_who_cannot_be_identified_is_not_let_in() -> None:
    def gone(_: object) -> Peer:
        raise OSError(107, "Transport endpoint is not connected")

    with serve(printing_unit(), peer_reader=gone) as served, pytest.raises(RefusedError, match="identified"):
        served.client().get("/v1/status")


CALL_AS = """
import grp, json, os, sys
uid, gid, groups, path = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
sys.path.insert(0, sys.argv[5])
from pathlib import Path
from agent.control.client import ControlClient
from agent.domain.errors import FabunitError
os.setgroups(groups); os.setgid(gid); os.setuid(uid)
try:
    print(json.dumps(ControlClient(Path(path)).get("/v1/status")["unit"]["id"]))
except FabunitError as error:
    print(json.dumps({**error.to_dict(), "exit": error.exit_code}))
"""


def call_as(uid: int, gid: int, groups: list[int], path: Path) -> object:
    """Ask for the status as somebody else, in a child."""
    root = str(Path(__file__).resolve().parents[3])
    arguments = [str(uid), str(gid), json.dumps(groups), str(path), root]
    child = subprocess.run(
        [sys.executable, "-c", CALL_AS, *arguments], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_other_users_by_the_kernel_and_by_us() -> None:
    with serve(printing_unit()) as served:
        gid = 45_678
        served.path.parent.parent.chmod(0o755)
        served.path.parent.chmod(0o755)
        os.chown(served.path, 0, gid)
        refused = call_as(45_001, 45_001, [], served.path)
        assert isinstance(refused, dict), "the socket's mode keeps strangers out"
        assert (refused["code"], refused["exit"]) == ("denied", 4)
        assert f"usermod -aG {gid}" in refused["remedy"]
        # Somebody opened the socket to all: the kernel lets them connect, we do not let them in.
        served.path.chmod(0o666)
        refused = call_as(45_001, 45_001, [], served.path)
        assert isinstance(refused, dict)
        assert refused["code"] == "denied"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("gid", "groups"), [(45_678, []), (45_001, [45_678])])
def test_members_of_the_group_are_let_in(gid: int, groups: list[int]) -> None:
    with serve(printing_unit(), gid=45_678) as served:
        served.path.parent.parent.chmod(0o755)
        served.path.parent.chmod(0o755)
        assert served.path.stat().st_gid == 45_678
        assert call_as(45_001, gid, groups, served.path) == "unit-1"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_hidden_directory_names_its_own_group() -> None:
    with tempfile.TemporaryDirectory(prefix="fab") as directory:
        Path(directory).chmod(0o750)
        os.chown(directory, 0, 45_678)
        refused = call_as(45_001, 45_001, [], Path(directory) / "f.sock")
        assert isinstance(refused, dict)
        assert (refused["code"], refused["exit"]) == ("denied", 4)
        assert "usermod -aG 45678" in refused["remedy"]


def test_the_client_needs_no_permission_to_say_that_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no daemon is running") as caught:
        ControlClient(tmp_path / "none.sock").get("/v1/status")
    assert getattr(caught.value, "exit_code", None) == 3
