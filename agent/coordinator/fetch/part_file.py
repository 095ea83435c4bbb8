"""A download on its way to the store: one file, locked, hashed as it grows, taken up again after a cut."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.domain.errors import StorageError
from agent.domain.fetching import FetchError

_BLOCK_BYTES = 1 << 20
# Small enough that a slow card never has much to flush at once, and free space is looked at often.
_SYNC_EVERY_BYTES = 16 << 20


class PartFile:
    """The bytes that have arrived so far, with their SHA-256. Blocking; a context manager.

    Raises FetchError `fetch_busy` when another process writes the same part, StorageError `disk_full` when
    fewer than `min_free_bytes` would stay free, OSError.
    """

    def __init__(self, path: Path, size_bytes: int, min_free_bytes: int) -> None:
        self.path = path
        self._wanted_bytes = size_bytes
        self._min_free_bytes = min_free_bytes
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._hash = hashlib.sha256()
        self._unsynced_bytes = 0
        self.size_bytes = 0
        try:
            self._lock()
            self._take_up()
            self._demand_room(size_bytes - self.size_bytes)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    @property
    def sha256(self) -> str:
        """The digest of all bytes so far."""
        return self._hash.hexdigest()

    @property
    def missing_bytes(self) -> int:
        """How many bytes are not there yet."""
        return self._wanted_bytes - self.size_bytes

    def append(self, data: bytes) -> None:
        """Write the next bytes."""
        self._demand_room(len(data))
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._hash.update(data)
        self.size_bytes += len(data)
        self._unsynced_bytes += len(data)
        if self._unsynced_bytes >= _SYNC_EVERY_BYTES:
            self.sync()

    def restart(self) -> None:
        """Forget everything that has arrived."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def sync(self) -> None:
        """Return when all bytes are on the disk."""
        os.fsync(self._descriptor)
        self._unsynced_bytes = 0

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchError(
                "another process is still writing this file",
                code="fetch_busy",
                is_transient=True,
                remedy="it ends by itself; the download is tried again",
            ) from None

    def _take_up(self) -> None:
        """Hash what an earlier attempt left; more than the whole file can only be rubbish."""
        if os.fstat(self._descriptor).st_size > self._wanted_bytes:
            self.restart()
            return
        while block := os.read(self._descriptor, _BLOCK_BYTES):
            self._hash.update(block)
            self.size_bytes += len(block)

    def _demand_room(self, more_bytes: int) -> None:
        figures = os.fstatvfs(self._descriptor)
        if figures.f_bavail * figures.f_frsize - more_bytes < self._min_free_bytes:
            raise StorageError(
                f"the disk that holds {self.path.parent} has no room for {more_bytes} more bytes",
                code="disk_full",
                remedy="delete files or move the state directory to a larger disk",
            )
