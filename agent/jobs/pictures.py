"""Pictures of parts: the preview a slicer put into its file, or the printability picture of a mesh."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.gcode.thumbnails import read_thumbnails
from agent.storage import faults

if TYPE_CHECKING:
    from agent.domain.job import Job
    from agent.domain.profile import PrinterProfile
    from agent.jobs.queue import Queue
    from agent.storage.artefacts import ArtefactStore

# Slicers put previews before the first command; large ones (640 by 480) are some 200 kB of text.
_HEAD_BYTES = 2 << 20
_MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg"}
_PNG = b"\x89PNG\r\n\x1a\n"
PICTURE_LIMIT_BYTES = 4 << 20
KEPT_PICTURES = 100
"""About 100 kB each; the oldest go first."""
# What the checker paints, see agent.mesh.answer.
_OVERVIEW = "overview.png"


class PartPicture(NamedTuple):
    """A picture and its type."""

    media_type: str
    data: bytes


class JobPictures:
    """Finds the picture of a job; event loop only, files are read in a thread.

    A mesh is painted once, by the checker in its own limited process, and kept below `directory`. One at a time, and
    what could not be painted is not tried again before the next start.
    """

    def __init__(self, queue: Queue, store: ArtefactStore, directory: Path, profile: PrinterProfile) -> None:
        self._queue = queue
        self._store = store
        self._directory = directory
        self._profile = profile
        self._painting = asyncio.Lock()
        self._hopeless: set[str] = set()

    async def picture(self, job_id: str) -> PartPicture | None:
        """Return the picture, None where there is none. Raises NotFoundError, StorageError."""
        job = await self._queue.get(job_id)
        path = self._store.path(job.artefact_sha256)
        try:
            if job.artefact_format == "gcode":
                return await asyncio.to_thread(_preview, path)
            return await self._painted(job, path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise faults.from_os(error, path) from error

    async def _painted(self, job: Job, path: Path) -> PartPicture | None:
        kept = self._directory / f"{job.artefact_sha256}.png"
        async with self._painting:
            if job.artefact_sha256 in self._hopeless:
                return None
            if not await asyncio.to_thread(kept.is_file) and not await self._paint(job, path, kept):
                self._hopeless.add(job.artefact_sha256)
                return None
        data = await asyncio.to_thread(_read, kept)
        return PartPicture("image/png", data) if data.startswith(_PNG) else None

    async def _paint(self, job: Job, path: Path, kept: Path) -> bool:
        # What meshes need is loaded with the first mesh.
        from agent.mesh import client, limits  # noqa: PLC0415
        from agent.mesh.request import Request  # noqa: PLC0415

        with tempfile.TemporaryDirectory(prefix="fabunit-picture-") as scratch:
            await client.run_check(
                Request(path, job.name, limits.derive(self._profile), report_dir=Path(scratch))
            )
            return await asyncio.to_thread(_keep, Path(scratch) / _OVERVIEW, kept)


def _preview(path: Path) -> PartPicture | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for thumbnail in read_thumbnails(head):
        if thumbnail.format in _MEDIA_TYPES:
            return PartPicture(_MEDIA_TYPES[thumbnail.format], thumbnail.data)
    return None


def _keep(painted: Path, kept: Path) -> bool:
    if not painted.is_file() or painted.stat().st_size > PICTURE_LIMIT_BYTES:
        return False
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_bytes(painted.read_bytes())
    part.replace(kept)
    pictures = sorted(kept.parent.glob("*.png"), key=lambda path: path.stat().st_mtime_ns)
    for old in pictures[:-KEPT_PICTURES]:
        old.unlink(missing_ok=True)
    return True


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(PICTURE_LIMIT_BYTES)
