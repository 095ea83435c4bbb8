"""Who holds a device: read from /proc, as far as we may."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has the device open."""

    pid: int
    program: str


def holders(device: Path, proc: Path = PROC) -> list[Holder]:
    """List the other processes that hold `device`. Without rights for a process it is left out."""
    target = os.path.realpath(device)
    found = []
    for entry in sorted(proc.glob("[0-9]*")):
        pid = int(entry.name)
        if pid != os.getpid() and _holds(entry, target):
            found.append(Holder(pid, _program(entry)))
    return found


def _holds(entry: Path, target: str) -> bool:
    # Processes end while we look, and other people's descriptors are not ours to see.
    with contextlib.suppress(OSError):
        for link in (entry / "fd").iterdir():
            with contextlib.suppress(OSError):
                if link.readlink() == Path(target):
                    return True
    return False


def _program(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return "?"
