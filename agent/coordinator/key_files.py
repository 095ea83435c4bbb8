"""Private keys on disk: 32 random bytes as base64 in a file that only its owner can read."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from agent.domain.errors import ConfigError, StorageError

KEY_BYTES = 32
_MAX_FILE_BYTES = 1024
_OTHERS = 0o077


def load_or_create_key(path: Path) -> bytes:
    """Return the key at `path`; a missing one is created with mode 0600 and flushed before it is used.

    Raises ConfigError `key_exposed` when others may read it, `bad_key` when it is no key, StorageError.
    """
    try:
        try:
            return load_key(path)
        except FileNotFoundError:
            return _create(path)
    except OSError as error:
        raise StorageError(f"the key {path} cannot be used: {error.strerror or error}") from error


def load_key(path: Path) -> bytes:
    """Return the key at `path`. Raises ConfigError as `load_or_create_key` does, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_mode & _OTHERS:
            raise ConfigError(
                f"others may read the private key {path}",
                code="key_exposed",
                remedy=f"chmod 600 {path}; if others have used this machine, delete the file to get a new key",
            )
        text = os.read(descriptor, _MAX_FILE_BYTES)
    finally:
        os.close(descriptor)
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{path} does not hold a private key",
            code="bad_key",
            remedy="restore it from a backup, or delete it to get a new key",
        )
    return key


def _create(path: Path) -> bytes:
    """Write under another name first: a half-written key must never be taken for one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = os.urandom(KEY_BYTES)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, base64.b64encode(key) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(fresh, path)  # unlike a rename it never replaces the key another process has just made
    except FileExistsError:
        return load_key(path)
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key
