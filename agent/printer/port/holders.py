"""Who holds a device: read from /proc, as far as we may."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_SERVICE_MANAGER = (1, "systemd")
# Slaves of pseudo-terminals (Documentation/admin-guide/devices.txt): each container counts its own from 0.
_PTY_MAJORS = range(136, 144)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has the device open."""

    pid: int
    program: str


def holders(device: Path, proc: Path = PROC) -> list[Holder]:
    """List the other processes that hold `device`. Without rights for a process it is left out.

    So is the service manager: it keeps a copy of the daemon's descriptor over a restart, and uses it for nothing.
    """
    target = Path(os.path.realpath(device))
    found = []
    for entry in sorted(proc.glob("[0-9]*")):
        pid = int(entry.name)
        if pid != os.getpid() and _holds(entry, target):
            found.append(Holder(pid, _program(entry)))
    return [holder for holder in found if (holder.pid, holder.program) != _SERVICE_MANAGER]


def _holds(entry: Path, target: Path) -> bool:
    # Processes end while we look, and other people's descriptors are not ours to see.
    with contextlib.suppress(OSError):
        for link in (entry / "fd").iterdir():
            with contextlib.suppress(OSError):
                if _leads_to(link, target):
                    return True
    return False


def _leads_to(link: Path, target: Path) -> bool:
    """Whether a descriptor is this device. Raises OSError when it is closed meanwhile.

    A descriptor that was opened in the name space of a service that has ended (and went on to the next daemon) is shown
    as /ttyUSB0 or /3 instead of /dev/ttyUSB0 and /dev/pts/3: the name is the same, and the device behind it. The
    /dev/pts/3 of a container has the whole path in common with ours, and is another.
    """
    # Nothing more is asked of other files: one may lie on a network drive that hangs.
    if link.readlink().name != target.name:
        return False
    held, wanted = link.stat(), target.stat()
    if (held.st_dev, held.st_ino) == (wanted.st_dev, wanted.st_ino):
        return True
    is_device = stat.S_ISCHR(held.st_mode) and os.major(held.st_rdev) not in _PTY_MAJORS
    return is_device and held.st_rdev == wanted.st_rdev


def _program(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return "?"
