"""From what a job document says to a file in the artefact store: cached, inline, by HTTP, decrypted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from agent.coordinator.documents import ArtefactDocument
from agent.coordinator.fetch.client import WORKER, Progress, run_fetch
from agent.coordinator.fetch.order import Encryption, FetchOrder
from agent.coordinator.fetch.pace import FetchLimits
from agent.domain.fetching import FetchError
from agent.domain.job import Job
from agent.storage.artefacts import ArtefactStore, sync_directory
from agent.storage.faults import from_os

# What the job's document says about its artefact; None when there is no document (any more).
SourceOf = Callable[[Job], Awaitable[ArtefactDocument | None]]
# The unit's private key; asked for only when an artefact is encrypted.
PrivateKey = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What the unit's owner allows: entries of the allow-list, the largest file, a private CA."""

    allowed: tuple[str, ...] = ()
    max_bytes: int = 512 << 20
    ca_file: str = ""
    limits: FetchLimits = field(default_factory=FetchLimits)


class Fetcher:
    """Brings artefacts into the store; event loop only, one call of `fetch` at a time per digest.

    `folder` holds unfinished downloads by digest; it must be on the store's disk.
    """

    def __init__(
        self,
        store: ArtefactStore,
        folder: Path,
        source_of: SourceOf,
        rules: FetchRules,
        *,
        private_key: PrivateKey | None = None,
        worker: Sequence[str] = WORKER,
    ) -> None:
        self._store = store
        self._folder = folder
        self._source_of = source_of
        self._rules = rules
        self._private_key = private_key
        self._worker = worker

    def has(self, sha256: str) -> bool:
        """Tell whether the artefact is in the store: the same file is never fetched twice."""
        return self._store.path(sha256).is_file()

    async def fetch(self, job: Job, on_progress: Progress) -> None:
        """Have the job's artefact in the store on return. One attempt; what arrived is kept for the next.

        Raises FetchError, ArtefactError, StorageError.
        """
        if self.has(job.artefact_sha256):
            return
        artefact = await self._source_of(job)
        if artefact is None:
            raise FetchError(
                f"the document of job {job.job_id} is not here any more, so nobody knows where its file is",
                code="no_source",
                remedy="order the job again",
            )
        if artefact.size > self._rules.max_bytes:
            raise FetchError(
                f"the file has {artefact.size} bytes, this unit takes {self._rules.max_bytes}",
                code="too_large",
                remedy="raise limits.max_artefact_bytes, or slice with fewer details",
            )
        inline = artefact.inline_bytes()
        if inline is not None:
            await self._take_inline(artefact, inline)
            return
        fetched = await run_fetch(await self._order(artefact), on_progress=on_progress, worker=self._worker)
        await self._run_in_thread(lambda: self._adopt(fetched.path, artefact.sha256))

    async def collect(self, keep: AbstractSet[str]) -> None:
        """Delete unfinished downloads of digests that no job waits for any more."""
        await self._run_in_thread(lambda: self._sweep(frozenset(keep)))

    async def _take_inline(self, artefact: ArtefactDocument, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if digest != artefact.sha256 or len(data) != artefact.size:
            raise FetchError(
                f"the inline file has {len(data)} bytes and SHA-256 {digest}, the job says {artefact.size} "
                f"and {artefact.sha256}",
                code="hash_mismatch",
                remedy="the coordinator must send the file it describes",
            )

        async def whole() -> AsyncIterator[bytes]:
            yield data

        await self._store.add(whole(), artefact.name or artefact.format, expected_bytes=len(data))

    async def _order(self, artefact: ArtefactDocument) -> FetchOrder:
        await self._run_in_thread(lambda: self._folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        return FetchOrder(
            url=artefact.url or "",
            sha256=artefact.sha256,
            size_bytes=artefact.size,
            part=self._folder / f"{artefact.sha256}.part",
            authorization=artefact.authorization or "",
            allowed=self._rules.allowed,
            ca_file=self._rules.ca_file,
            limits=self._rules.limits,
            encryption=await self._encryption(artefact),
        )

    async def _encryption(self, artefact: ArtefactDocument) -> Encryption | None:
        told = artefact.encryption
        if told is None:
            return None
        from agent.coordinator import sealed_files  # noqa: PLC0415 - libsodium only where it is needed

        if told.scheme != sealed_files.SCHEME or self._private_key is None:
            raise FetchError(
                f"the file is encrypted with {told.scheme!r}, this unit "
                + (f"knows {sealed_files.SCHEME}" if self._private_key else "has no key"),
                code="bad_ciphertext",
                remedy="the coordinator finds the unit's scheme and key in its state document",
            )
        private = await asyncio.to_thread(self._private_key)
        key = sealed_files.open_key(told.sealed_key, private)
        return Encryption(key, sealed_files.encrypted_size_bytes(artefact.size))

    async def _run_in_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            raise from_os(error, self._folder) from error

    def _adopt(self, path: Path, sha256: str) -> None:
        """Move a proven, flushed file to its place; it is there completely or not at all."""
        target = self._store.path(sha256)
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            sync_directory(target.parent.parent)
        path.replace(target)
        sync_directory(target.parent)

    def _sweep(self, keep: frozenset[str]) -> None:
        if not self._folder.is_dir():
            return
        for path in self._folder.glob("*.part*"):
            if path.name.partition(".")[0] not in keep:
                path.unlink(missing_ok=True)
