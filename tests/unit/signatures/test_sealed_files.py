from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.coordinator.sealed_files import (
    BLOCK_BYTES,
    encrypted_size_bytes,
    open_file,
    open_key,
    public_key,
    seal_file,
    seal_key,
)
from agent.domain.fetching import FetchError

PRIVATE = bytes(range(1, 33))
KEY = bytes(range(32))
SIZES = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES]


def sealed(data: bytes, key: bytes = KEY) -> bytes:
    target = io.BytesIO()
    seal_file(io.BytesIO(data), target, key)
    return target.getvalue()


def opened(folder: Path, body: bytes, data: bytes, key: bytes = KEY) -> bytes:
    (folder / "sealed").write_bytes(body)
    try:
        open_file(folder / "sealed", folder / "plain", key, len(data), hashlib.sha256(data).hexdigest())
        return (folder / "plain").read_bytes()
    finally:
        (folder / "plain").unlink(missing_ok=True)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens(tmp_path: Path, size: int) -> None:
    data = bytes(size)
    body = sealed(data)
    assert len(body) == encrypted_size_bytes(size)
    assert opened(tmp_path, body, data) == data


def test_the_same_file_never_looks_the_same() -> None:
    assert sealed(b"part") != sealed(b"part")


@pytest.mark.parametrize("size", [5, BLOCK_BYTES + 5])
def test_a_cut_or_longer_file_is_refused(tmp_path: Path, size: int) -> None:
    data = bytes(size)
    body = sealed(data)
    for changed in (body[:-1], body[: BLOCK_BYTES + 24 + 17], body[:24], body[:10], b"", body + b"x"):
        if changed != body:
            with pytest.raises(FetchError) as caught:
                opened(tmp_path, changed, data)
            assert caught.value.code == "bad_ciphertext"
            assert not (tmp_path / "plain").exists()


def test_blocks_cannot_be_exchanged(tmp_path: Path) -> None:
    data = b"a" * BLOCK_BYTES + b"b" * BLOCK_BYTES + b"c"
    body = sealed(data)
    step = BLOCK_BYTES + 17
    first, second = body[24 : 24 + step], body[24 + step : 24 + 2 * step]
    with pytest.raises(FetchError):
        opened(tmp_path, body[:24] + second + first + body[24 + 2 * step :], data)


@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, 24 + 1000 + 17 - 1), bit=st.integers(0, 7))
def test_no_changed_bit_passes(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    body = bytearray(sealed(bytes(1000)))
    body[position] ^= 1 << bit
    with pytest.raises(FetchError):
        opened(tmp_path_factory.getbasetemp(), bytes(body), bytes(1000))


def test_another_file_under_the_same_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        opened(tmp_path, sealed(b"bbbb"), b"aaaa")
    assert caught.value.code == "hash_mismatch"
    with pytest.raises(FetchError, match="longer"):
        opened(tmp_path, sealed(b"aaaaa"), b"aaaa")


def test_a_key_opens_for_its_unit_only() -> None:
    text = seal_key(KEY, public_key(PRIVATE))
    assert open_key(text, PRIVATE) == KEY
    with pytest.raises(FetchError):
        open_key(text, bytes(range(2, 34)))


@settings(deadline=None)
@given(st.text(max_size=120))
def test_no_text_is_taken_for_a_sealed_key(text: str) -> None:
    with pytest.raises(FetchError) as caught:
        open_key(text, PRIVATE)
    assert caught.value.code == "bad_ciphertext"


def test_a_sealed_key_of_another_length_is_refused() -> None:
    with pytest.raises(FetchError):
        open_key(seal_key(b"short", public_key(PRIVATE)), PRIVATE)
