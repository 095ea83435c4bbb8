"""Artefacts on disk: each file under the name of its SHA-256, complete or not there at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from agent.domain.errors import ArtefactError
from agent.storage import faults
from agent.storage.names import display_name, guess_format

T = TypeVar("T")

# One write and one hash update per batch: few thread hand-overs, and small enough for a 512 MB machine.
BATCH_BYTES = 1024 * 1024
# The database, the prepared file and the logs need room too; below this nothing new is accepted.
MIN_FREE_BYTES = 200 * 1024 * 1024
# A job refers to an upload right after `add`; until then a collection must not take it for rubbish.
_SETTLE_S = 600.0
_HASH_BLOCK_BYTES = 1024 * 1024
_HEAD_BYTES = 512  # enough for every magic number of `guess_format`
_DIGEST_CHARS = 64
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class StoredArtefact:
    """A complete file in the store. `name` is only for people, `format` only a hint; `size` in bytes."""

    sha256: str
    size: int
    format: str
    name: str


def free_bytes(directory: Path) -> int:
    """Return the bytes an unprivileged program may still write on the disk that holds `directory`."""
    figures = os.statvfs(directory)
    return figures.f_bavail * figures.f_frsize


def open_new(path: Path) -> BinaryIO:
    """Create `path`, which must not exist, for unbuffered writing by its owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)


class ArtefactStore:
    """Content-addressed files below `root` (the state directory): `artefacts/ab/abcdef…` and `prepared/`.

    Event loop only; file work runs in one thread of its own. `limit_bytes` caps one artefact,
    `min_free_bytes` is what stays free on the disk.
    """

    def __init__(
        self,
        root: Path,
        limit_bytes: int,
        *,
        min_free_bytes: int = MIN_FREE_BYTES,
        free: Callable[[Path], int] = free_bytes,
        create: Callable[[Path], BinaryIO] = open_new,
    ) -> None:
        self._root = root / "artefacts"
        self.prepared_dir = root / "prepared"
        self._limit_bytes = limit_bytes
        self._min_free_bytes = min_free_bytes
        self._free = free
        self._create = create
        self._settling: dict[str, float] = {}
        # One thread: a cancelled upload is cleaned up behind its last write, never beside it.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="artefacts")

    async def open(self) -> None:
        """Create the folders and remove what unfinished uploads left. Raises StorageError."""
        await self._in_thread(self._prepare_folders)

    async def close(self) -> None:
        """Let the last file operation end."""
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)

    async def has_room(self, more_bytes: int) -> bool:
        """Tell whether `more_bytes` fit without touching what must stay free."""
        return await self._in_thread(lambda: self._free(self._root) - more_bytes >= self._min_free_bytes)

    async def add(
        self, chunks: AsyncIterator[bytes], name: str, *, expected_bytes: int | None = None
    ) -> StoredArtefact:
        """Store a stream of bytes; on return it is complete on disk, on an error nothing is left over.

        Raises ArtefactError `empty_file` or `too_large`, StorageError `disk_full`. `expected_bytes`, where
        known, lets it refuse before the first byte.
        """
        shown = display_name(name)
        self._check_size(expected_bytes or 0, shown)
        part = await self._in_thread(lambda: self._begin(expected_bytes or 0))
        try:
            batch = bytearray()
            async for chunk in chunks:
                batch += chunk
                if len(batch) >= BATCH_BYTES:
                    await self._append(part, bytes(batch), shown)
                    batch.clear()
            await self._append(part, bytes(batch), shown)
            await self._in_thread(lambda: self._finish(part, shown))
        except BaseException:
            # Queued behind a write that may still be running; not awaited, so that cancelling stays prompt.
            self._executor.submit(part.discard)
            raise
        return StoredArtefact(part.digest, part.size, guess_format(name, part.head), shown)

    def path(self, sha256: str) -> Path:
        """Return the place of an artefact. Raises ArtefactError `bad_name` for anything but a SHA-256."""
        if len(sha256) != _DIGEST_CHARS or not _HEX.issuperset(sha256):
            raise ArtefactError(f"{sha256[:80]!r} is not a SHA-256", code="bad_name")
        return self._root / sha256[:2] / sha256

    async def settle(self, sha256: str) -> None:
        """Say that a job refers to this upload now: from here on `keep` decides about it."""
        await self._in_thread(lambda: self._settling.pop(sha256, None))

    async def collect(self, keep: AbstractSet[str]) -> int:
        """Delete artefacts not in `keep` that did not just arrive; returns the bytes freed."""
        return await self._in_thread(lambda: self._sweep(frozenset(keep)))

    async def _append(self, part: _Part, batch: bytes, shown: str) -> None:
        self._check_size(part.size + len(batch), shown)
        await self._in_thread(lambda: self._write(part, batch))

    def _check_size(self, size: int, shown: str) -> None:
        if size > self._limit_bytes:
            raise ArtefactError(
                f"{shown} is larger than {self._limit_bytes} bytes",
                code="too_large",
                remedy="raise max_artefact_bytes in [limits], or slice with fewer details",
            )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            return await future
        except OSError as error:
            raise faults.from_os(error, self._root) from error

    def _prepare_folders(self) -> None:
        for folder in (self._root, self.prepared_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in (*self._root.glob("*.part"), *self.prepared_dir.glob("*.part")):
            leftover.unlink()

    def _begin(self, expected_bytes: int) -> _Part:
        self._check_room(expected_bytes)
        path = self._root / f"{uuid.uuid4().hex}.part"
        return _Part(path, self._create(path))

    def _write(self, part: _Part, batch: bytes) -> None:
        self._check_room(len(batch))
        part.write(batch)

    def _check_room(self, more_bytes: int) -> None:
        if self._free(self._root) - more_bytes < self._min_free_bytes:
            raise faults.disk_full(self._root)

    def _finish(self, part: _Part, shown: str) -> None:
        if part.size == 0:
            raise ArtefactError(f"{shown} is empty", code="empty_file", remedy="export it again")
        part.sync()
        self._settling[part.digest] = time.monotonic()
        target = self.path(part.digest)
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self._root)
        # Also over an existing file of that name: these bytes are proven, those may have rotted.
        part.path.replace(target)
        sync_directory(target.parent)

    def _sweep(self, keep: AbstractSet[str]) -> int:
        now = time.monotonic()
        self._settling = {sha: at for sha, at in self._settling.items() if now - at < _SETTLE_S}
        wanted = keep | self._settling.keys()
        freed = 0
        for path in self._root.glob("??/*"):
            if path.name not in wanted:
                freed += path.stat().st_size
                path.unlink()
        return freed


class _Part:
    """An upload on its way; artefact thread only."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        self._file = file
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def write(self, batch: bytes) -> None:
        if not self.head:
            self.head = batch[:_HEAD_BYTES]
        view = memoryview(batch)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(batch)
        self.size += len(batch)

    def sync(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make renames and creations in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; blocking. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
