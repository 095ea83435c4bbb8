from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.domain.artefact import Finding, Layer, Metadata, Prepared, Severity
from agent.domain.errors import StorageError
from agent.storage.prepared import PreparedShelf

BYTES = b"G28\nG1 X1\n"


def _prepared(source: str = "a" * 64, content: bytes = BYTES, profile: str = "p/1") -> Prepared:
    return Prepared(
        source_sha256=source,
        profile_digest=profile,
        gate_version=1,
        sha256=hashlib.sha256(content).hexdigest(),
        lines=2,
        size=len(content),
        offset_step=1000,
        offsets=(0,),
        times=(0.0, 12.5),
        layers=(Layer(1, 0.2), Layer(2, 0.4)),
        metadata=Metadata("PrusaSlicer", 12.5, 1.0, extra={"ü": "ö"}),
        findings=(Finding("hot", Severity.WARNING, 3, "hot", "cool"),),
        summary={"bounds": [0, 1]},
    )


@pytest.fixture
def shelf(tmp_path: Path) -> PreparedShelf:
    return PreparedShelf(tmp_path)


def _put(shelf: PreparedShelf, prepared: Prepared, content: bytes = BYTES) -> Path:
    path = shelf.path(prepared.sha256)
    path.write_bytes(content)
    return path


async def test_saved_and_loaded(shelf: PreparedShelf, tmp_path: Path) -> None:
    prepared = _prepared()
    assert await shelf.load("a" * 64, "p/1", prepared.sha256) is None
    await shelf.save(prepared)
    assert await shelf.load("a" * 64, "p/1", prepared.sha256) is None, (
        "a description without its file is useless"
    )
    _put(shelf, prepared)
    assert await shelf.load("a" * 64, "p/1", prepared.sha256) == prepared
    assert await shelf.load("b" * 64, "p/1", prepared.sha256) is None
    assert await shelf.load("a" * 64, "p/2", prepared.sha256) is None
    assert not list(tmp_path.glob("*.part"))


async def test_two_sources_of_the_same_bytes_keep_their_own_descriptions(shelf: PreparedShelf) -> None:
    one, two = _prepared("a" * 64), _prepared("b" * 64)
    _put(shelf, one)
    await shelf.save(one)
    await shelf.save(two)
    assert await shelf.load("a" * 64, "p/1", one.sha256) == one
    assert await shelf.load("b" * 64, "p/1", two.sha256) == two


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"lines": "x"}', "\x00\x01"])
async def test_an_unreadable_description_is_none(shelf: PreparedShelf, tmp_path: Path, content: str) -> None:
    prepared = _prepared()
    _put(shelf, prepared)
    await shelf.save(prepared)
    (description,) = tmp_path.glob("*.json")
    description.write_text(content)
    assert await shelf.load("a" * 64, "p/1", prepared.sha256) is None


async def test_bytes_are_proven(shelf: PreparedShelf) -> None:
    prepared = _prepared()
    path = _put(shelf, prepared)
    stamp = await shelf.proven_stamp(prepared)
    assert await shelf.proven_stamp(prepared, stamp) == stamp
    path.write_bytes(BYTES[:-1] + b"!")
    with pytest.raises(StorageError) as caught:
        await shelf.proven_stamp(prepared, stamp)
    assert caught.value.code == "hash_mismatch"
    path.unlink()
    with pytest.raises(StorageError) as caught:
        await shelf.proven_stamp(prepared, stamp)
    assert caught.value.code == "artefact_lost"


async def test_a_known_stamp_spares_the_reading(shelf: PreparedShelf) -> None:
    prepared = _prepared()
    path = _put(shelf, prepared)
    stamp = await shelf.proven_stamp(prepared)
    other = _prepared(content=b"other")
    path.rename(shelf.path(other.sha256))
    with pytest.raises(StorageError, match="does not hold"):
        await shelf.proven_stamp(other, stamp)


async def test_collect(shelf: PreparedShelf, tmp_path: Path) -> None:
    kept, gone = _prepared(), _prepared("b" * 64, b"other")
    for prepared, content in ((kept, BYTES), (gone, b"other")):
        _put(shelf, prepared, content)
        await shelf.save(prepared)
    await shelf.collect({kept.sha256})
    assert await shelf.load(kept.source_sha256, "p/1", kept.sha256) == kept
    assert len(list(tmp_path.iterdir())) == 2
