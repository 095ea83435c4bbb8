"""Pictures of parts: the preview a slicer put into its file, or the printability picture of a mesh's check."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from agent.gcode.thumbnails import read_thumbnails
from agent.storage import faults

if TYPE_CHECKING:
    from pathlib import Path

    from agent.domain.job import Job
    from agent.jobs.queue import Queue
    from agent.storage.artefacts import ArtefactStore

# Slicers put previews before the first command; large ones (640 by 480) are some 200 kB of text.
_HEAD_BYTES = 2 << 20
_MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg"}
# A printability picture beside the artefacts, named after the mesh.
PICTURE_LIMIT_BYTES = 4 << 20
_PNG = b"\x89PNG\r\n\x1a\n"


class PartPicture(NamedTuple):
    """A picture and its type."""

    media_type: str
    data: bytes


class JobPictures:
    """Finds the picture of a job; event loop only, files are read in a thread.

    `mesh_pictures` holds `<sha256>.png` for meshes whose check painted one.
    """

    def __init__(self, queue: Queue, store: ArtefactStore, mesh_pictures: Path | None = None) -> None:
        self._queue = queue
        self._store = store
        self._mesh_pictures = mesh_pictures

    async def picture(self, job_id: str) -> PartPicture | None:
        """Return the picture, None where there is none. Raises NotFoundError, StorageError."""
        job = await self._queue.get(job_id)
        path = self._store.path(job.artefact_sha256)
        try:
            return await asyncio.to_thread(self._read, job, path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise faults.from_os(error, path) from error

    def _read(self, job: Job, path: Path) -> PartPicture | None:
        if job.artefact_format != "gcode":
            return self._painted(job)
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        for thumbnail in read_thumbnails(head):
            if thumbnail.format in _MEDIA_TYPES:
                return PartPicture(_MEDIA_TYPES[thumbnail.format], thumbnail.data)
        return None

    def _painted(self, job: Job) -> PartPicture | None:
        if self._mesh_pictures is None:
            return None
        with (self._mesh_pictures / f"{job.artefact_sha256}.png").open("rb") as file:
            data = file.read(PICTURE_LIMIT_BYTES)
        return PartPicture("image/png", data) if data.startswith(_PNG) else None
