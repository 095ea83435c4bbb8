"""The configuration file, and the profile it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.errors import FabunitError
from agent.ops.doctor.finding import Finding, Level, ok
from agent.printer.commands import check_scripts
from agent.slicing.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    """`error`, `remedy`: of a file that cannot be used."""

    path: Path | None
    error: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """The named printer profile, and what stands against it."""

    name: str
    title: str = ""
    error: str = ""
    remedy: str = ""


def look(path: Path | None, failure: FabunitError | None) -> ConfigurationFacts:
    """Read the facts; `failure` is why the file could not be used."""
    return ConfigurationFacts(path, failure.message, failure.remedy) if failure else ConfigurationFacts(path)


def look_at_profile(name: str, search: Sequence[Path]) -> ProfileFacts:
    """Load the profile and hold its scripts against the rules."""
    try:
        profile = load_profile(name, search)
        check_scripts(profile)
    except FabunitError as error:
        return ProfileFacts(name, error=error.message, remedy=error.remedy)
    return ProfileFacts(name, profile.title)


def judge(facts: ConfigurationFacts) -> list[Finding]:
    """Return what is wrong with the file."""
    if facts.error:
        edit = f"sudoedit {facts.path}" if facts.path else "fabunit setup"
        remedy = f"{edit}   ({facts.remedy})" if facts.remedy else edit
        return [Finding("config", Level.ERROR, facts.error, remedy)]
    if facts.path is None:
        return [
            Finding(
                "config", Level.NOTE, "there is no configuration: everything has its default", "fabunit setup"
            )
        ]
    return [ok("config", str(facts.path))]


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
