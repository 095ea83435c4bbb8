from __future__ import annotations

import base64
import hashlib
import io
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.coordinator import sealed_files
from agent.coordinator.documents import ArtefactDocument, EncryptionDocument
from agent.coordinator.fetch.fetcher import Fetcher, FetchRules
from agent.coordinator.fetch.pace import FetchLimits
from agent.domain.errors import FabunitError
from agent.domain.job import Job
from agent.jobs.orders import OrderOptions, new_job
from agent.storage.artefacts import ArtefactStore, StoredArtefact
from tests.unit.fetch.conftest import DATA, Serve
from tests.unit.fetch.file_server import ranged, whole

SHA256 = hashlib.sha256(DATA).hexdigest()
PRIVATE = bytes(range(1, 33))

MakeFetcher = Callable[..., Fetcher]


def job_for(data: bytes) -> Job:
    artefact = StoredArtefact(hashlib.sha256(data).hexdigest(), len(data), "gcode", "part.gcode")
    return new_job("j-1", artefact, OrderOptions(source="coordinator"), 1.0, 0)


def document(url: str | None = None, inline: bytes | None = None, **other: object) -> ArtefactDocument:
    values: dict[str, object] = {"sha256": SHA256, "size": len(DATA), "format": "gcode", "name": "part.gcode"}
    values |= {"url": url} if url else {}
    values |= {"inline": base64.b64encode(inline).decode()} if inline is not None else {}
    return ArtefactDocument.model_validate({**values, **other})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ArtefactStore]:
    store = ArtefactStore(tmp_path, 1 << 30, min_free_bytes=0)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def make_fetcher(store: ArtefactStore, tmp_path: Path) -> MakeFetcher:
    def make(source: ArtefactDocument | None, *, max_bytes: int = 1 << 30, has_key: bool = True) -> Fetcher:
        async def source_of(_: Job) -> ArtefactDocument | None:
            return source

        rules = FetchRules(("127.0.0.1",), max_bytes, limits=FetchLimits(min_free_bytes=0))
        key = (lambda: PRIVATE) if has_key else None
        return Fetcher(store, tmp_path / "fetching", source_of, rules, private_key=key)

    return make


def ignore(_done: int, _size: int) -> None:
    """Progress is another test's matter."""


async def fails_with(fetcher: Fetcher, data: bytes = DATA) -> str:
    with pytest.raises(FabunitError) as caught:
        await fetcher.fetch(job_for(data), ignore)
    assert not fetcher.has(SHA256)
    return caught.value.code


async def test_a_file_by_http_ends_in_the_store(
    serve: Serve, make_fetcher: MakeFetcher, store: ArtefactStore, tmp_path: Path
) -> None:
    server = serve(whole(DATA))
    fetcher = make_fetcher(document(server.url))
    await fetcher.fetch(job_for(DATA), ignore)
    assert store.path(SHA256).read_bytes() == DATA
    assert not list((tmp_path / "fetching").iterdir())
    await fetcher.fetch(job_for(DATA), ignore)
    assert len(server.requests) == 1, "what is in the store is not fetched again"


async def test_an_inline_file_is_taken_as_it_is(make_fetcher: MakeFetcher, store: ArtefactStore) -> None:
    data = b"G28\n" * 100
    told = document(inline=data, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    await make_fetcher(told).fetch(job_for(data), ignore)
    assert store.path(told.sha256).read_bytes() == data


async def test_an_inline_file_must_be_the_one_described(make_fetcher: MakeFetcher) -> None:
    assert await fails_with(make_fetcher(document(inline=b"G28\n"))) == "hash_mismatch"


async def test_what_is_too_large_or_unknown_is_refused_without_a_request(
    serve: Serve, make_fetcher: MakeFetcher
) -> None:
    server = serve(whole(DATA))
    assert await fails_with(make_fetcher(document(server.url), max_bytes=len(DATA) - 1)) == "too_large"
    assert await fails_with(make_fetcher(None)) == "no_source"
    assert not server.requests


async def test_authorization_in_the_document_is_sent(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = serve(whole(DATA))
    await make_fetcher(document(server.url, authorization="Bearer abc")).fetch(job_for(DATA), ignore)
    assert server.requests[0].headers["authorization"] == "Bearer abc"


def encrypted(data: bytes, key: bytes) -> bytes:
    target = io.BytesIO()
    sealed_files.seal_file(io.BytesIO(data), target, key)
    return target.getvalue()


def sealed_document(url: str, key: bytes, scheme: str = sealed_files.SCHEME) -> ArtefactDocument:
    sealed_key = sealed_files.seal_key(key, sealed_files.public_key(PRIVATE))
    return document(url, encryption=EncryptionDocument(scheme=scheme, sealed_key=sealed_key).model_dump())


async def test_an_encrypted_file_is_opened(
    serve: Serve, make_fetcher: MakeFetcher, store: ArtefactStore, tmp_path: Path
) -> None:
    key = secrets.token_bytes(32)
    body = encrypted(DATA, key)
    (tmp_path / "fetching").mkdir()
    (tmp_path / "fetching" / f"{SHA256}.part").write_bytes(body[:1000])
    server = serve(ranged(body))
    await make_fetcher(sealed_document(server.url, key)).fetch(job_for(DATA), ignore)
    assert store.path(SHA256).read_bytes() == DATA
    assert server.requests[0].offset == 1000
    assert not list((tmp_path / "fetching").iterdir())


async def test_encrypted_files_that_cannot_be_opened(
    serve: Serve, make_fetcher: MakeFetcher, tmp_path: Path
) -> None:
    key = secrets.token_bytes(32)
    body = encrypted(DATA, key)
    forged = serve(whole(body[:-1] + bytes([body[-1] ^ 1])))
    assert await fails_with(make_fetcher(sealed_document(forged.url, key))) == "bad_ciphertext"
    good = serve(whole(body))
    other = sealed_document(good.url, secrets.token_bytes(32))
    assert await fails_with(make_fetcher(other)) == "bad_ciphertext"
    assert await fails_with(make_fetcher(sealed_document(good.url, key, "rot13"))) == "bad_ciphertext"
    assert await fails_with(make_fetcher(sealed_document(good.url, key), has_key=False)) == "bad_ciphertext"
    not_ours = document(good.url, encryption={"scheme": sealed_files.SCHEME, "sealed_key": "AAAA"})
    assert await fails_with(make_fetcher(not_ours)) == "bad_ciphertext"
    assert not list((tmp_path / "fetching").iterdir())


async def test_downloads_nobody_waits_for_are_removed(make_fetcher: MakeFetcher, tmp_path: Path) -> None:
    fetcher = make_fetcher(None)
    await fetcher.collect(frozenset())
    folder = tmp_path / "fetching"
    folder.mkdir()
    for name in ("aa.part", "bb.part", "bb.part.opened"):
        (folder / name).write_bytes(b"x")
    await fetcher.collect({"aa"})
    assert [path.name for path in folder.iterdir()] == ["aa.part"]
