"""ZIP containers of 3MF and AMF: what may be inside, and a reader that believes no header."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.mesh.errors import MeshFileError
from agent.mesh.gate.bounds import DEFAULT_BOUNDS, GateBounds

Blocks = Generator[bytes, None, None]
"""A file in pieces; whoever stops early closes it."""

_BLOCK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_FAILURES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, UnicodeError)


def is_zip(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is a ZIP archive."""
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def model_archive(path: Path, bounds: GateBounds = DEFAULT_BOUNDS) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose table of contents is within bounds. Raises MeshFileError, also from the body."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, bounds)
            yield archive
    except _FAILURES as error:
        raise MeshFileError(
            f"the archive is damaged: {error}", code="file.malformed", remedy="export it again"
        ) from error


def member_blocks(archive: zipfile.ZipFile, name: str, bounds: GateBounds = DEFAULT_BOUNDS) -> Blocks:
    """Yield a member in blocks of a megabyte; stops at what the bounds allow, whatever its header says."""
    info = archive.getinfo(name)
    allowed = min(bounds.max_member_bytes, _allowed_bytes(info.compress_size, bounds))
    size = 0
    with archive.open(info) as member:
        while block := member.read(_BLOCK_BYTES):
            size += len(block)
            if size > allowed:
                raise _bomb(info, size)
            yield block


def _check(archive: zipfile.ZipFile, bounds: GateBounds) -> None:
    infos = archive.infolist()
    if len(infos) > bounds.max_members:
        raise MeshFileError(f"the archive has {len(infos)} members", code="file.hostile")
    names = [info.filename for info in infos]
    if len({name.lower() for name in names}) != len(names):
        raise MeshFileError("the archive holds two members of one name", code="file.malformed")
    for info in infos:
        _check_member(info, bounds)
    if sum(info.file_size for info in infos) > 2 * bounds.max_member_bytes:
        raise MeshFileError("the archive unpacks to too much", code="file.too_large")


def _check_member(info: zipfile.ZipInfo, bounds: GateBounds) -> None:
    parts = info.filename.replace("\\", "/").split("/")
    if ".." in parts or info.filename.startswith(("/", "\\")) or ":" in parts[0]:
        raise MeshFileError(
            f"a member of the archive leads out of it: {info.filename[:80]!r}", code="file.hostile"
        )
    if info.flag_bits & _ENCRYPTED:
        raise MeshFileError(
            "the archive is encrypted", code="file.unsupported", remedy="export without password"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MeshFileError(
            f"{info.filename[:80]!r} is compressed in an unusual way", code="file.unsupported"
        )
    if info.file_size > bounds.max_member_bytes:
        raise MeshFileError(
            f"{info.filename[:80]!r} unpacks to {info.file_size} bytes", code="file.too_large"
        )
    if info.file_size > _allowed_bytes(info.compress_size, bounds):
        raise _bomb(info, info.file_size)


def _allowed_bytes(compressed_bytes: int, bounds: GateBounds) -> int:
    return max(bounds.ratio_exempt_bytes, compressed_bytes * bounds.max_ratio)


def _bomb(info: zipfile.ZipInfo, size_bytes: int) -> MeshFileError:
    return MeshFileError(
        f"{info.filename[:80]!r} unpacks from {info.compress_size} to {size_bytes} bytes or more: a zip bomb",
        code="file.hostile",
    )
