"""Who may do what: the daemon's user at the port and the state directory, the person at the control socket."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.accounts import daemon_uid, group_name, groups_of, user_name
from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_RWX = 0o700
_OTHERS_WRITE = 0o022


@dataclass(frozen=True, slots=True)
class AccessFacts:
    """`user` runs the daemon (the owner of the state directory), `me` asks. Groups by name.

    `port_group` is None without a port; `state_mode` None where the directory is missing; `socket_open` None without
    a socket.
    """

    user: str
    me: str
    user_groups: frozenset[str]
    port: str
    port_group: str | None
    is_port_open: bool
    state_dir: str
    state_mode: int | None
    is_state_writable: bool
    socket: str
    socket_group: str
    is_socket_open: bool | None


def look(state_dir: Path, port: str | None, socket: Path) -> AccessFacts:
    """Read the facts."""
    uid = daemon_uid(state_dir)
    user = user_name(uid)
    device = _status(port) if port else None
    state = _status(state_dir)
    control = _status(socket)
    return AccessFacts(
        user=user,
        me=user_name(os.geteuid()),
        user_groups=groups_of(user),
        port=port or "",
        port_group=group_name(device.st_gid) if device else None,
        is_port_open=device is not None and _may_use(device, uid, groups_of(user)),
        state_dir=str(state_dir),
        state_mode=stat.S_IMODE(state.st_mode) if state else None,
        is_state_writable=state is not None
        and state.st_uid == uid
        and state.st_mode & _OWNER_RWX == _OWNER_RWX,
        socket=str(socket),
        socket_group=group_name(control.st_gid) if control else "fabunit",
        is_socket_open=None if control is None else os.access(socket, os.R_OK | os.W_OK),
    )


def judge(facts: AccessFacts) -> list[Finding]:
    """Return what is wrong."""
    return [*_judge_port(facts), *_judge_state(facts), *_judge_socket(facts)]


def _judge_port(facts: AccessFacts) -> list[Finding]:
    if facts.port_group is None:
        return []
    if facts.is_port_open:
        return [ok("port-access", f"user {facts.user} may use {facts.port}")]
    restart = "sudo systemctl restart 'fabunit@*'" if facts.user == "fabunit" else "log out and in again"
    return [
        Finding(
            "port-access",
            Level.ERROR,
            f"user {facts.user} may not use {facts.port}: it belongs to group {facts.port_group}",
            f"sudo usermod -aG {facts.port_group} {facts.user} && {restart}"
            if facts.user == "fabunit"
            else f"sudo usermod -aG {facts.port_group} {facts.user}, then {restart}",
        )
    ]


def _judge_state(facts: AccessFacts) -> list[Finding]:
    if facts.state_mode is None:
        return [
            Finding(
                "state-dir",
                Level.NOTE,
                f"{facts.state_dir} is not there yet: the daemon's first start creates it",
                "sudo systemctl start fabunit@NAME",
            )
        ]
    if not facts.is_state_writable:
        return [
            Finding(
                "state-dir",
                Level.ERROR,
                f"user {facts.user} cannot write {facts.state_dir} (mode {facts.state_mode:03o})",
                f"sudo chown -R {facts.user}: {facts.state_dir} && sudo chmod 750 {facts.state_dir}",
            )
        ]
    if facts.state_mode & _OTHERS_WRITE:
        return [
            Finding(
                "state-dir",
                Level.WARNING,
                f"others may write {facts.state_dir} (mode {facts.state_mode:03o}): they could change what is printed",
                f"sudo chmod 750 {facts.state_dir}",
            )
        ]
    return [ok("state-dir", f"{facts.state_dir} belongs to {facts.user}")]


def _judge_socket(facts: AccessFacts) -> list[Finding]:
    if facts.is_socket_open is None or facts.is_socket_open:
        return []
    return [
        Finding(
            "socket-access",
            Level.ERROR,
            f"user {facts.me} may not talk to the daemon at {facts.socket}",
            f"sudo usermod -aG {facts.socket_group} {facts.me}, then log out and in again",
        )
    ]


def _may_use(device: os.stat_result, uid: int, groups: frozenset[str]) -> bool:
    mode = device.st_mode
    if uid == 0:
        return True
    if device.st_uid == uid:
        return mode & 0o600 == 0o600
    if group_name(device.st_gid) in groups:
        return mode & 0o060 == 0o060
    return mode & 0o006 == 0o006


def _status(path: Path | str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - takes both kinds of path
    except OSError:
        return None
