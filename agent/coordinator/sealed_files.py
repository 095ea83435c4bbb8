"""Encrypted artefacts: a key per file, sealed to one unit, and the file as a stream of authenticated blocks.

Both are libsodium's own constructions, so that a coordinator in any language has them: the key in a sealed box
(`crypto_box_seal`, X25519), the file as `crypto_secretstream_xchacha20poly1305` with blocks of 64 KiB, each 17
bytes longer on the wire, after a header of 24 bytes; the last block carries the final tag. ChaCha20 instead of AES:
the processor of a Pi Zero 2 W has no AES instructions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from agent.domain.fetching import FetchError

SCHEME = "sealedbox-secretstream-v1"
KEY_BYTES = 32
BLOCK_BYTES = 64 * 1024
_HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_EXTRA_BYTES = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


def encrypted_size_bytes(size_bytes: int) -> int:
    """Return how long a file of `size_bytes` is when it is encrypted."""
    blocks = max(1, -(-size_bytes // BLOCK_BYTES))
    return _HEADER_BYTES + size_bytes + blocks * _EXTRA_BYTES


def public_key(private: bytes) -> str:
    """Return the public key of a unit as base64: what coordinators seal to."""
    return base64.b64encode(bytes(PrivateKey(private).public_key)).decode("ascii")


def seal_key(key: bytes, unit_public_key: str) -> str:
    """Seal a file's key so that only the unit can open it. Raises ValueError for a malformed public key."""
    box = SealedBox(PublicKey(base64.b64decode(unit_public_key, validate=True)))
    return base64.b64encode(box.encrypt(key)).decode("ascii")


def open_key(sealed: str, private: bytes) -> bytes:
    """Return a file's key. Raises FetchError `bad_ciphertext` when it was sealed to somebody else."""
    try:
        key = SealedBox(PrivateKey(private)).decrypt(base64.b64decode(sealed, validate=True))
    except (CryptoError, binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise _unreadable("its key is not sealed to this unit")
    return key


def seal_file(plain: BinaryIO, sealed: BinaryIO, key: bytes) -> None:
    """Encrypt a file."""
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    sealed.write(bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key))
    block = plain.read(BLOCK_BYTES)
    while True:
        following = plain.read(BLOCK_BYTES)
        tag = _MESSAGE if following else _FINAL
        sealed.write(bindings.crypto_secretstream_xchacha20poly1305_push(state, block, None, tag))
        if not following:
            return
        block = following


def open_file(sealed: Path, plain: Path, key: bytes, size_bytes: int, sha256: str) -> None:
    """Decrypt `sealed` into the new file `plain`, flushed to the disk, and prove its size and digest.

    Raises FetchError `bad_ciphertext` or `hash_mismatch`, OSError; then nothing is left of `plain`.
    """
    descriptor = os.open(plain, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with sealed.open("rb") as source, os.fdopen(descriptor, "wb") as target:
            _demand_digest(_open_stream(source, target, key, size_bytes), sha256)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        plain.unlink(missing_ok=True)
        raise


def _open_stream(source: BinaryIO, target: BinaryIO, key: bytes, size_bytes: int) -> str:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    digest = hashlib.sha256()
    header = source.read(_HEADER_BYTES)
    if len(header) != _HEADER_BYTES:
        raise _unreadable("it is too short")
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    left_bytes = size_bytes
    while True:
        block = source.read(BLOCK_BYTES + _EXTRA_BYTES)
        try:
            plain, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, block, None)
        except (CryptoError, ValueError):
            raise _unreadable("it was changed or cut, or encrypted with another key") from None
        left_bytes -= len(plain)
        if left_bytes < 0:
            raise _unreadable("it is longer than the job says")
        digest.update(plain)
        target.write(plain)
        if tag == _FINAL:
            break
    if source.read(1):
        raise _unreadable("something follows its end")
    return digest.hexdigest()


def _demand_digest(digest: str, sha256: str) -> None:
    if digest != sha256:
        raise FetchError(
            f"the decrypted file has SHA-256 {digest}, the job says {sha256}",
            code="hash_mismatch",
            remedy="the coordinator must order the file that the URL leads to",
        )


def _unreadable(why: str) -> FetchError:
    return FetchError(
        f"the encrypted file cannot be opened: {why}",
        code="bad_ciphertext",
        remedy="the coordinator must encrypt the file with a key sealed to this unit's public key",
    )
