"""How a worker bounds itself: limits of the kernel, lowest priority, death together with the daemon."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

NICENESS = 15  # a print on the same machine goes first
_OOM_SCORE = "800"  # if memory runs out, the kernel should take this process, not the daemon
_PR_SET_PDEATHSIG = 1


def yield_to_everything_else(niceness: int = NICENESS) -> None:
    """Lower this process's priority, and offer it to the kernel when memory runs out."""
    with contextlib.suppress(OSError):
        os.nice(niceness)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


def die_with(parent: int) -> None:
    """End together with the process that asked: the next daemon begins anew and needs the machine for that.

    Told by number, because whose child this is may have changed while the interpreter started.
    """
    with contextlib.suppress(OSError, MemoryError):  # a hardened unit may not let ctypes call into libc
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def lower(limit: int, value: int, *, spare: int = 0) -> None:
    """Set a limit; with `spare` the hard one lies higher, so that the signal tells which limit it was."""
    _, hard = resource.getrlimit(limit)
    ceiling = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
    resource.setrlimit(limit, (min(value, ceiling), ceiling))


def peak_memory_bytes() -> int:
    """Return the most resident memory this process had; getrusage would count its parent before the exec too."""
    with Path("/proc/self/status").open(encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
