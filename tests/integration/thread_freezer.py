"""Stops one thread of another process, as a hang in a driver would, and lets it go again (ptrace(2))."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PTRACE_SEIZE, _PTRACE_INTERRUPT, _PTRACE_DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def threads(pid: int) -> dict[str, int]:
    """Name → thread id of a process; unnamed threads have the program's name."""
    tasks = Path(f"/proc/{pid}/task")
    return {(task / "comm").read_text().strip(): int(task.name) for task in tasks.iterdir()}


@contextmanager
def frozen(tid: int) -> Iterator[None]:
    """Within the block the thread does nothing. Raises PermissionError where tracing is forbidden."""
    _ptrace(_PTRACE_SEIZE, tid)
    try:
        _ptrace(_PTRACE_INTERRUPT, tid)
        os.waitpid(tid, _WALL)
        yield
    finally:
        if (
            _libc.ptrace(_PTRACE_DETACH, tid, None, None) != 0
        ):  # killed meanwhile: reap it, so that its process can end
            with contextlib.suppress(ChildProcessError):
                os.waitpid(tid, _WALL | os.WNOHANG)


def _ptrace(request: int, tid: int) -> None:
    if _libc.ptrace(request, tid, None, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
