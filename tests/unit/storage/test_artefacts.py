from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import pytest

from agent.domain.errors import ArtefactError, StorageError
from agent.storage.artefacts import BATCH_BYTES, ArtefactStore, open_new

LIMIT = 4 * BATCH_BYTES
LINES = b"G28\nG1 X1 F600\n"


async def _stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ArtefactStore]:
    store = ArtefactStore(tmp_path, LIMIT, min_free_bytes=0)
    await store.open()
    yield store
    await store.close()


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_stored_under_its_digest(store: ArtefactStore, tmp_path: Path) -> None:
    stored = await store.add(_stream(b"G28\n", b"", b"G1 X1 F600\n"), "dir/benchy.gcode")
    digest = hashlib.sha256(LINES).hexdigest()
    assert (stored.sha256, stored.size, stored.format, stored.name) == (
        digest,
        len(LINES),
        "gcode",
        "benchy.gcode",
    )
    assert store.path(digest) == tmp_path / "artefacts" / digest[:2] / digest
    assert store.path(digest).read_bytes() == LINES
    assert store.path(digest).stat().st_mode & 0o777 == 0o600
    assert _files(tmp_path) == [f"artefacts/{digest[:2]}/{digest}"]


async def test_flushed_before_it_has_its_name_and_the_folder_after(
    store: ArtefactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def logged_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def logged_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(Path, "replace", logged_replace)
    await store.add(_stream(LINES), "x.gcode")
    assert steps == ["sync file", "sync folder", "rename", "sync folder"]


async def test_many_batches(store: ArtefactStore) -> None:
    content = os.urandom(3 * BATCH_BYTES + 17)
    stored = await store.add(
        _stream(*(content[at : at + 70_000] for at in range(0, len(content), 70_000))), "x.gcode"
    )
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert store.path(stored.sha256).read_bytes() == content


async def test_the_same_bytes_are_stored_once_and_heal_damage(store: ArtefactStore, tmp_path: Path) -> None:
    first = await store.add(_stream(LINES), "a.gcode")
    store.path(first.sha256).write_bytes(b"rotten")
    second = await store.add(_stream(LINES), "b.gcode")
    assert second.sha256 == first.sha256
    assert store.path(first.sha256).read_bytes() == LINES
    assert len(_files(tmp_path)) == 1


async def test_two_uploads_at_once(store: ArtefactStore) -> None:
    contents = [bytes([number]) * (BATCH_BYTES + number) for number in range(1, 6)]
    stored = await asyncio.gather(
        *(store.add(_stream(content, content[:5]), "x.gcode") for content in contents)
    )
    for content, artefact in zip(contents, stored, strict=True):
        assert store.path(artefact.sha256).read_bytes() == content + content[:5]


@pytest.mark.parametrize("chunks", [(), (b"",), (b"", b"")])
async def test_an_empty_file_is_refused(
    store: ArtefactStore, tmp_path: Path, chunks: tuple[bytes, ...]
) -> None:
    with pytest.raises(ArtefactError) as caught:
        await store.add(_stream(*chunks), "empty.gcode")
    assert caught.value.code == "empty_file"
    await store.close()
    assert _files(tmp_path) == []


async def test_a_too_large_file_is_refused_early_and_late(store: ArtefactStore, tmp_path: Path) -> None:
    reads = []

    async def must_not_be_read() -> AsyncIterator[bytes]:
        reads.append(1)
        yield b"x"

    with pytest.raises(ArtefactError, match="larger"):
        await store.add(must_not_be_read(), "x.gcode", expected_bytes=LIMIT + 1)
    assert not reads
    with pytest.raises(ArtefactError) as caught:
        await store.add(_stream(*[bytes(BATCH_BYTES)] * 5), "x.gcode")
    assert caught.value.code == "too_large"
    await store.close()
    assert _files(tmp_path) == []


async def test_a_file_of_exactly_the_limit_is_taken(store: ArtefactStore) -> None:
    assert (await store.add(_stream(*[bytes(BATCH_BYTES)] * 4), "x.gcode")).size == LIMIT


async def test_the_kernel_says_that_the_disk_is_full(tmp_path: Path) -> None:
    def create(path: Path) -> BinaryIO:
        open_new(path).close()
        return Path("/dev/full").open("wb", buffering=0)

    store = ArtefactStore(tmp_path, LIMIT, min_free_bytes=0, create=create)
    await store.open()
    with pytest.raises(StorageError) as caught:
        await store.add(_stream(LINES), "x.gcode")
    assert caught.value.code == "disk_full"
    assert caught.value.remedy
    await store.close()
    assert _files(tmp_path) == []


@pytest.mark.parametrize("free", [0, 999])
async def test_no_room_before_the_first_byte(tmp_path: Path, free: int) -> None:
    store = ArtefactStore(tmp_path, LIMIT, min_free_bytes=1000, free=lambda _: free)
    await store.open()
    with pytest.raises(StorageError) as caught:
        await store.add(_stream(LINES), "x.gcode")
    assert caught.value.code == "disk_full"
    await store.close()
    assert _files(tmp_path) == []


async def test_the_disk_fills_while_writing(tmp_path: Path) -> None:
    left = iter([10 * BATCH_BYTES, 10 * BATCH_BYTES, BATCH_BYTES])
    store = ArtefactStore(tmp_path, LIMIT, min_free_bytes=BATCH_BYTES, free=lambda _: next(left))
    await store.open()
    with pytest.raises(StorageError) as caught:
        await store.add(_stream(*[bytes(BATCH_BYTES)] * 3), "x.gcode")
    assert caught.value.code == "disk_full"
    await store.close()
    assert _files(tmp_path) == []


async def test_a_broken_upload_leaves_nothing(store: ArtefactStore, tmp_path: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(BATCH_BYTES)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await store.add(breaks(), "x.gcode")
    await store.close()
    assert _files(tmp_path) == []


async def test_a_cancelled_upload_leaves_nothing(store: ArtefactStore, tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield bytes(BATCH_BYTES)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.add(stalls(), "x.gcode"))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    assert _files(tmp_path) == []


async def test_leftovers_of_a_killed_daemon_are_removed(tmp_path: Path) -> None:
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "prepared").mkdir()
    (tmp_path / "artefacts" / "0123.part").write_bytes(b"half")
    (tmp_path / "prepared" / "4567.json.part").write_bytes(b"half")
    store = ArtefactStore(tmp_path, LIMIT)
    await store.open()
    await store.close()
    assert _files(tmp_path) == []


async def test_collect_keeps_what_is_needed_and_what_just_arrived(tmp_path: Path) -> None:
    before = ArtefactStore(tmp_path, LIMIT, min_free_bytes=0)
    await before.open()
    needed, orphan = [await before.add(_stream(text), "x.gcode") for text in (b"needed", b"orphan")]
    assert await before.collect(set()) == 0, "what just arrived has no job yet"
    await before.close()
    after = ArtefactStore(tmp_path, LIMIT, min_free_bytes=0)
    await after.open()
    fresh = await after.add(_stream(b"fresh"), "x.gcode")
    assert await after.collect({needed.sha256}) == orphan.size
    await after.close()
    assert after.path(needed.sha256).exists()
    assert after.path(fresh.sha256).exists()
    assert not after.path(orphan.sha256).exists()


@pytest.mark.parametrize(
    "digest", ["", "abc", "../../etc/passwd", "G" * 64, "a" * 65, "A" * 64, "a" * 63 + "/"]
)
async def test_only_a_digest_is_a_place(store: ArtefactStore, digest: str) -> None:
    with pytest.raises(ArtefactError) as caught:
        store.path(digest)
    assert caught.value.code == "bad_name"
