"""One daemon per state directory: an advisory lock that dies with its process, whatever kills it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agent.domain.errors import RefusedError
from agent.storage import faults

_PID_BYTES = 32  # a pid and its line end; the rest of a damaged file is of no interest


class StateLock:
    """Holds `state_dir/lock` until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, state_dir: Path) -> StateLock:
        """Take the lock, creating `state_dir` (mode 0700) when it is missing.

        Raises RefusedError `state_in_use` naming the pid that holds it, StorageError for a useless directory.
        """
        path = state_dir / "lock"
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise faults.from_os(error, path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise RefusedError(
                f"{state_dir} is in use by process {holder}",
                code="state_in_use",
                remedy="stop that daemon first, or give this one its own state_dir",
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise faults.from_os(error, path) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back. Calling it again is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
