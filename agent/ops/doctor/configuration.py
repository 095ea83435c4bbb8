"""The configuration file, the profile it names, and the files of secrets it points to."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.domain.errors import FabunitError
from agent.ops.doctor.finding import Finding, Level, ok
from agent.printer.commands import check_scripts
from agent.slicing.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    """`error`, `remedy`: of a file that cannot be used; `secrets`: paths with their mode, None for a missing one."""

    path: Path | None
    error: str = ""
    remedy: str = ""
    secrets: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """The named printer profile, and what stands against it."""

    name: str
    title: str = ""
    error: str = ""
    remedy: str = ""


def look(
    path: Path | None, secrets: Sequence[Path] | None, failure: FabunitError | None
) -> ConfigurationFacts:
    """Read the facts; `secrets` are the files the configuration names, None for one that cannot be used."""
    if failure is not None or secrets is None:
        why = failure or FabunitError("the configuration was not read")
        return ConfigurationFacts(path, why.message, why.remedy)
    return ConfigurationFacts(path, secrets={str(secret): _mode(secret) for secret in secrets})


def look_at_profile(name: str, search: Sequence[Path]) -> ProfileFacts:
    """Load the profile and hold its scripts against the rules."""
    try:
        profile = load_profile(name, search)
        check_scripts(profile)
    except FabunitError as error:
        return ProfileFacts(name, error=error.message, remedy=error.remedy)
    return ProfileFacts(name, profile.title)


def judge(facts: ConfigurationFacts) -> list[Finding]:
    """Return what is wrong with the file and its secrets."""
    where = str(facts.path) if facts.path else "no file, only defaults"
    if facts.error:
        edit = f"sudoedit {facts.path}" if facts.path else "fabunit setup"
        remedy = f"{edit}   ({facts.remedy})" if facts.remedy else edit
        return [Finding("config", Level.ERROR, facts.error, remedy)]
    found = [ok("config", where)]
    if facts.path is None:
        found = [
            Finding(
                "config", Level.NOTE, "there is no configuration: everything has its default", "fabunit setup"
            )
        ]
    found += [_judge_secret(path, mode) for path, mode in facts.secrets.items()]
    return found


def judge_profile(facts: ProfileFacts) -> list[Finding]:
    """Return what is wrong with the profile."""
    if facts.error:
        return [
            Finding(
                "profile",
                Level.ERROR,
                facts.error,
                facts.remedy or "fabunit profile list shows what there is",
            )
        ]
    return [ok("profile", f"{facts.name}: {facts.title}" if facts.title else facts.name)]


def _judge_secret(path: str, mode: int | None) -> Finding:
    if mode is None:
        return Finding(
            "secrets",
            Level.ERROR,
            f"{path} is named in the configuration and cannot be read",
            f"sudo install -m 600 -o fabunit /dev/stdin {path}   (then type the secret, Ctrl-D)",
        )
    if mode & _OTHERS:
        return Finding(
            "secrets",
            Level.WARNING,
            f"{path} holds a secret and has mode {mode:03o}: others on this machine can read it",
            f"sudo chmod 600 {path}",
        )
    return ok("secrets", f"{path} is for its owner alone")


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
