"""The installation itself: Python, operating system, versions, what the service manager says."""

from __future__ import annotations

import platform
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from pathlib import Path

LEAST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class InstallationFacts:
    """`version` is this program's, `running` the daemon's (None: no daemon)."""

    version: str
    running: str | None
    python: tuple[int, int, int]
    bits: int
    machine: str
    system: str


def look(version: str, running: str | None, root: Path) -> InstallationFacts:
    """Read the facts."""
    return InstallationFacts(
        version=version,
        running=running,
        python=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        bits=struct.calcsize("P") * 8,
        machine=platform.machine(),
        system=_system(root),
    )


def judge(facts: InstallationFacts) -> list[Finding]:
    """Return what is wrong."""
    python = ".".join(map(str, facts.python))
    found = []
    if facts.python[:2] < LEAST_PYTHON:
        found.append(
            Finding(
                "python",
                Level.ERROR,
                f"Python {python} is older than {'.'.join(map(str, LEAST_PYTHON))}, the oldest fabunit runs on",
                "upgrade to Raspberry Pi OS or Debian 12 (Bookworm) or newer, then install fabunit again",
            )
        )
    else:
        found.append(ok("python", f"Python {python}"))
    if facts.bits < 64:
        found.append(
            Finding(
                "architecture",
                Level.WARNING,
                f"a {facts.bits}-bit system ({facts.machine}): the mesh check has no packages for it",
                "install the 64-bit Raspberry Pi OS; a Pi Zero 2 W, 3, 4 and 5 run it",
            )
        )
    else:
        found.append(ok("architecture", f"{facts.machine}, {facts.bits} bit, {facts.system}"))
    if facts.running is not None and facts.running != facts.version:
        found.append(
            Finding(
                "version",
                Level.WARNING,
                f"fabunit {facts.version} is installed, the daemon still runs {facts.running}",
                "sudo systemctl restart 'fabunit@*'   (a running print goes on)",
            )
        )
    else:
        found.append(ok("version", f"fabunit {facts.version}"))
    return found


def _system(root: Path) -> str:
    try:
        lines = (root / "etc" / "os-release").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.system()
    names = [line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME=")]
    return names[0] if names else platform.system()
