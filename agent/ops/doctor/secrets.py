"""The files of secrets the configuration names: there, for the daemon's user, and for nobody else."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.ops.doctor.accounts import user_name
from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Sequence

_OTHERS = 0o077
_CREDENTIALS = Path("/run/credentials")
_CREDSTORE = Path("/etc/credstore")
_SERVICE = "fabunit@"


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """One file where it lies at rest; `user` must be able to read it. `mode` is None where it is missing or hidden.

    `is_hidden`: only root may look. `is_credential`: systemd reads it as root and hands it to the service.
    """

    path: str
    user: str
    mode: int | None = None
    owner: str = ""
    is_hidden: bool = False
    is_credential: bool = False


def at_rest(path: Path) -> Path:
    """Return where a secret is kept: the service's credentials lie in systemd's store (`LoadCredential=`)."""
    try:
        service, name = path.relative_to(_CREDENTIALS).parts
    except ValueError:
        return path
    unit = service.removeprefix(_SERVICE).removesuffix(".service")
    return _CREDSTORE / f"fabunit.{unit}.{name}" if service.startswith(_SERVICE) else path


def look(paths: Sequence[Path], user: str) -> list[SecretFacts]:
    """Read the facts; `user` runs the daemon."""
    return [_look(at_rest(path), user, is_credential=at_rest(path) != path) for path in paths]


def judge(facts: Sequence[SecretFacts]) -> list[Finding]:
    """Return what is wrong."""
    return [_judge(fact) for fact in facts]


def _look(path: Path, user: str, *, is_credential: bool) -> SecretFacts:
    try:
        found = path.stat()
    except PermissionError:
        return SecretFacts(str(path), user, is_hidden=True, is_credential=is_credential)
    except OSError:
        return SecretFacts(str(path), user, is_credential=is_credential)
    owner = user_name(found.st_uid)
    return SecretFacts(str(path), user, stat.S_IMODE(found.st_mode), owner, is_credential=is_credential)


def _judge(facts: SecretFacts) -> Finding:
    path = facts.path
    if facts.is_hidden:
        return Finding("secrets", Level.NOTE, f"only root may look at {path}", "sudo fabunit doctor")
    if facts.mode is None:
        owner = "" if facts.is_credential else f"-o {facts.user} "
        return Finding(
            "secrets",
            Level.ERROR,
            f"{path} is named in the configuration and is not there",
            f"sudo install -m 600 {owner}/dev/stdin {path}   (then type the secret, Ctrl-D)",
        )
    if facts.mode & _OTHERS:
        return Finding(
            "secrets",
            Level.WARNING,
            f"{path} holds a secret and has mode {facts.mode:03o}: others on this machine can read it",
            f"sudo chmod 600 {path}",
        )
    if not facts.is_credential and facts.user not in (facts.owner, "root"):
        return Finding(
            "secrets",
            Level.ERROR,
            f"{path} belongs to {facts.owner}: the daemon's user {facts.user} cannot read it",
            f"sudo chown {facts.user}: {path}",
        )
    return ok("secrets", f"{path} is for its owner alone")
