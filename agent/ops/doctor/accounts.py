"""Names of users and groups; a number stands for itself where nobody has it."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path


def user_name(uid: int) -> str:
    """Return the user's name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return the group's name."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def groups_of(user: str) -> frozenset[str]:
    """Return the names of the groups a user is in; none for an unknown user."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return frozenset()
    return frozenset(group_name(gid) for gid in os.getgrouplist(user, account.pw_gid))


def daemon_uid(state_dir: Path) -> int:
    """Return who runs the daemon: the owner of its state directory, else the package's user, else who asks."""
    try:
        return state_dir.stat().st_uid
    except OSError:
        pass
    try:
        return pwd.getpwnam("fabunit").pw_uid
    except KeyError:
        return os.geteuid()
