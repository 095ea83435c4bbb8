"""Reads a G-code file in blocks of whole lines: constant memory whatever the file's size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from agent.domain.errors import ArtefactError

# Big enough that the cost per block vanishes, small enough that its arrays stay near the processor.
BLOCK_BYTES = 256 * 1024
MAX_LINE_BYTES = 1024 * 1024  # only comments come near (Orca writes whole macros into one)


class BlockReader:
    """Iterates over blocks that end with a line end; LF, CRLF and lone CR all become LF.

    `sha256` and `size_bytes` cover the raw bytes read so far; without `is_hashed` there is no digest, for files that
    are known already. ArtefactError (not_gcode) for an endless line.
    """

    def __init__(self, file: BinaryIO, *, block_bytes: int = BLOCK_BYTES, is_hashed: bool = True) -> None:
        self._file = file
        self._is_hashed = is_hashed
        self._block_bytes = block_bytes
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """Hex digest of the raw bytes read so far."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        carry = b""
        first = True
        while chunk := self._file.read(self._block_bytes):
            if self._is_hashed:
                self._digest.update(chunk)
            self.size_bytes += len(chunk)
            data = carry + chunk
            if first:
                data, first = data.removeprefix(b"\xef\xbb\xbf"), False
            # A CR at the very end may be the first half of CRLF: leave it for the next block.
            end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
            carry = data[end:]
            if end:
                yield _unix_line_ends(data[:end])
            elif len(carry) > MAX_LINE_BYTES:
                carry = self._shortened(carry)
        if carry:
            yield _unix_line_ends(carry + b"\n")

    def _shortened(self, line: bytes) -> bytes:
        """Forget the rest of an overlong comment; an overlong command is no G-code."""
        comment = line.find(b";")
        if comment < 0:
            raise ArtefactError(
                f"a line is longer than {MAX_LINE_BYTES} bytes, this is no G-code",
                code="not_gcode",
                remedy="queue a G-code file",
            )
        return line[: comment + 1]


def _unix_line_ends(data: bytes) -> bytes:
    """Firmware ends a command at CR as well as at LF, so a lone CR must not hide a second command."""
    if b"\r" not in data:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
