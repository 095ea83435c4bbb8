"""The picture of a job: a slicer's preview, or the mesh as its check sees it."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent import paths
from agent.domain.errors import NotFoundError
from agent.jobs.pictures import JobPictures
from agent.jobs.queue import Queue
from agent.slicing.profiles import load_profile
from agent.storage.artefacts import ArtefactStore
from agent.storage.clock import SystemClock
from agent.storage.database import Database

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40


class Bench:
    """A queue, a store and the pictures over them."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.store = ArtefactStore(folder, 1 << 24, min_free_bytes=0)
        self.queue = Queue(database, SystemClock())
        profile = load_profile("generic-220", paths.profiles_dirs())
        self.pictures = JobPictures(self.queue, self.store, folder / "pictures", profile)

    async def add(self, data: bytes, name: str) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        return (await self.queue.add(await self.store.add(chunks(), name))).job_id


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = await Database.open(tmp_path / "fabunit.db")
    made = Bench(tmp_path, database)
    await made.store.open()
    yield made
    await made.store.close()
    await database.close()


def cube(side_mm: float = 20.0) -> bytes:
    """A binary STL."""
    corners = [(x, y, z) for x in (0, side_mm) for y in (0, side_mm) for z in (0, side_mm)]
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    body = b"".join(
        struct.pack("<12fH", 0, 0, 0, *(v for n in face for v in corners[n]), 0) for face in faces
    )
    return bytes(80) + struct.pack("<I", len(faces)) + body


async def test_a_slicers_preview(bench: Bench) -> None:
    text = base64.b64encode(PNG).decode()
    head = f"; thumbnail begin 16x16 {len(text)}\n; {text}\n; thumbnail end\nG28\n"
    picture = await bench.pictures.picture(await bench.add(head.encode(), "a.gcode"))
    assert picture == ("image/png", PNG)


async def test_g_code_without_a_preview_has_no_picture(bench: Bench) -> None:
    job_id = await bench.add(b"G28\n", "a.gcode")
    assert await bench.pictures.picture(job_id) is None
    job = await bench.queue.get(job_id)
    bench.store.path(job.artefact_sha256).unlink()
    assert await bench.pictures.picture(job_id) is None, "its file may be gone"
    with pytest.raises(NotFoundError):
        await bench.pictures.picture("j-none")


async def test_a_mesh_is_painted_once(bench: Bench) -> None:
    job_id = await bench.add(cube(), "cube.stl")
    picture = await bench.pictures.picture(job_id)
    assert picture is not None
    assert picture.media_type == "image/png"
    assert picture.data.startswith(b"\x89PNG")
    kept = list((bench.folder / "pictures").glob("*.png"))
    assert len(kept) == 1
    kept[0].write_bytes(PNG)
    assert await bench.pictures.picture(job_id) == ("image/png", PNG), "from the disk, not painted again"


async def test_what_cannot_be_painted_is_tried_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await bench.add(b"solid nothing\nendsolid\n", "broken.stl")
    assert await bench.pictures.picture(job_id) is None

    async def never(_request: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr("agent.mesh.client.run_check", never)
    assert await bench.pictures.picture(job_id) is None
