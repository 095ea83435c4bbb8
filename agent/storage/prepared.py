"""What the gate made of each artefact: descriptions beside prepared files, and the proof before streaming."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeVar

from agent.domain.artefact import Prepared
from agent.domain.errors import StorageError
from agent.gcode.prepared_file import remove_leftovers
from agent.gcode.prepared_json import from_json, to_json
from agent.storage import faults
from agent.storage.artefacts import file_digest, sync_directory

T = TypeVar("T")

_PROFILE_CHARS = 16  # of the profile digest's own SHA-256: enough to tell profiles apart, safe in a file name


class PreparedShelf:
    """Descriptions `<source>.<profile>.<prepared>.json` beside the files `<prepared>.gcode` in `directory`.

    The prepared bytes alone are no key: two artefacts may come to the same commands with different comments.
    Event loop only; file work runs in threads.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, prepared_sha256: str) -> Path:
        """Return the place of the prepared bytes."""
        return self._directory / f"{prepared_sha256}.gcode"

    async def save(self, prepared: Prepared) -> None:
        """Keep the description. Raises StorageError."""
        await self._in_thread(lambda: self._save(prepared))

    async def load(self, source_sha256: str, profile_digest: str, prepared_sha256: str) -> Prepared | None:
        """Return the description of a checked artefact; None when it or its file is missing or unreadable."""
        return await self._in_thread(lambda: self._load(source_sha256, profile_digest, prepared_sha256))

    async def proven_stamp(self, prepared: Prepared, known_stamp: str = "") -> str:
        """Prove that the prepared file holds exactly the checked bytes; returns a stamp of the proven file.

        A file that still carries `known_stamp` (inode, size and times of an earlier proof) is not read again:
        after a restart the printer is waiting. Raises StorageError `artefact_lost` or `hash_mismatch`.
        """
        return await self._in_thread(lambda: self._prove(prepared, known_stamp))

    async def collect(self, keep: AbstractSet[str]) -> None:
        """Delete prepared files whose digest is not in `keep`, and their descriptions."""
        await self._in_thread(lambda: self._sweep(frozenset(keep)))

    async def remove_leftovers(self) -> None:
        """Delete what killed gates left unfinished; only while no gate runs."""
        await self._in_thread(lambda: remove_leftovers(self._directory))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise faults.from_os(error, self._directory) from error

    def _save(self, prepared: Prepared) -> None:
        target = self._description(prepared.source_sha256, prepared.profile_digest, prepared.sha256)
        part = target.with_suffix(".json.part")
        with part.open("w", encoding="utf-8") as file:
            file.write(to_json(prepared))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync_directory(self._directory)

    def _load(self, source_sha256: str, profile_digest: str, prepared_sha256: str) -> Prepared | None:
        path = self._description(source_sha256, profile_digest, prepared_sha256)
        if not path.is_file() or not self.path(prepared_sha256).is_file():
            return None
        try:
            prepared = from_json(path.read_bytes())
        except ValueError:
            # Not ours, or rotted: the gate writes it again from the artefact.
            return None
        is_ours = (prepared.source_sha256, prepared.profile_digest, prepared.sha256) == (
            source_sha256,
            profile_digest,
            prepared_sha256,
        )
        return prepared if is_ours else None

    def _description(self, source_sha256: str, profile_digest: str, prepared_sha256: str) -> Path:
        profile = hashlib.sha256(profile_digest.encode()).hexdigest()[:_PROFILE_CHARS]
        return self._directory / f"{source_sha256}.{profile}.{prepared_sha256}.json"

    def _prove(self, prepared: Prepared, known_stamp: str) -> str:
        path = self.path(prepared.sha256)
        try:
            stamp = _stamp(path)
            if stamp == known_stamp:
                return stamp
            digest = file_digest(path)
        except FileNotFoundError as error:
            raise StorageError(f"{path} is missing", code="artefact_lost", remedy="retry the job") from error
        if digest != prepared.sha256:
            raise StorageError(
                f"{path} does not hold the checked bytes any more",
                code="hash_mismatch",
                remedy="retry the job, and check the disk: files must not change by themselves",
            )
        return stamp

    def _sweep(self, keep: AbstractSet[str]) -> None:
        for path in self._directory.glob("*.gcode"):
            if path.stem not in keep:
                path.unlink()
        for path in self._directory.glob("*.json"):
            if path.stem.rpartition(".")[2] not in keep:
                path.unlink()


def _stamp(path: Path) -> str:
    facts = path.stat()
    return f"{facts.st_ino}:{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}"
