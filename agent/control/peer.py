"""Who is at the other end of the control socket, and who is let in."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from agent.domain.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

# linux/include/uapi/asm-generic/socket.h; the socket module of Python 3.11 has no name for it.
_SO_PEERGROUPS = 59
# The most getsockopt() takes in Python: 256 groups. Somebody in more is judged by the main group alone.
_GROUPS_BYTES = 1024
_UCRED = struct.Struct("iII")


class DeniedError(RefusedError):
    """This person may not talk to the daemon; the remedy names the group to join."""

    code = "denied"
    http_status = 403


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, as the kernel vouches for it.

    Under a user namespace (systemd `PrivateUsers=`) foreign ids read as 65534, but the socket's own group is
    mapped: that is why `groups` counts and not the account database.
    """

    uid: int
    gid: int
    pid: int
    groups: frozenset[int] = field(default_factory=frozenset)


class CredentialSocket(Protocol):
    """The one call that is needed of a connected Unix socket."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """As `socket.socket.getsockopt` with a buffer length."""
        ...


def read_peer(connection: CredentialSocket) -> Peer:
    """Read SO_PEERCRED and SO_PEERGROUPS (Linux 4.13). Raises OSError when the socket is gone."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    return Peer(uid=uid, gid=gid, pid=pid, groups=_read_groups(connection))


def _read_groups(connection: CredentialSocket) -> frozenset[int]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:  # an older kernel, or more groups than fit: the main group decides
        return frozenset()
    return frozenset(struct.unpack(f"{len(raw) // 4}I", raw[: len(raw) // 4 * 4]))


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Lets in root, the daemon's own user and the members of the socket's group."""

    uids: frozenset[int]
    gid: int
    group: str

    @classmethod
    def for_group(cls, gid: int, *, own_uid: int | None = None) -> AccessPolicy:
        """Build the policy for a socket of group `gid`."""
        return cls(
            uids=frozenset({0, os.getuid() if own_uid is None else own_uid}), gid=gid, group=group_name(gid)
        )

    def allows(self, peer: Peer | None) -> bool:
        """Tell whether this peer may use the API; an unknown one may not."""
        return peer is not None and (peer.uid in self.uids or peer.gid == self.gid or self.gid in peer.groups)

    def denial(self, peer: Peer | None) -> DeniedError:
        """Build the answer for a peer that is not let in."""
        who = "a process that cannot be identified" if peer is None else f"user {_user_name(peer.uid)}"
        return DeniedError(f"{who} may not control this printer", remedy=join_remedy(self.group))


def join_remedy(group: str) -> str:
    """Tell how to become a member of the group."""
    return f"join the group {group}: `sudo usermod -aG {group} $USER`, then log in again"


def group_name(gid: int) -> str:
    """Name of the group, or its number where it has none."""
    return _name(gid, _lookup_group)


def _user_name(uid: int) -> str:
    return _name(uid, _lookup_user)


def _name(number: int, lookup: Callable[[int], str]) -> str:
    try:
        return lookup(number)
    except KeyError:
        return str(number)


def _lookup_group(gid: int) -> str:
    import grp  # noqa: PLC0415 - the CLI needs it only for an error

    return grp.getgrgid(gid).gr_name


def _lookup_user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - needed only for an error

    return pwd.getpwuid(uid).pw_name
