"""A tar.gz of bounded size whose texts have all been through the redactor."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from typing import TYPE_CHECKING, Any, Self

from agent.domain.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from agent.ops.bundle.redaction import Redactor

# What a forum or an e-mail still takes is about the compressed size of these.
MEMBER_BYTES = 4 << 20
TOTAL_BYTES = 24 << 20
_MODE = 0o600


class Archive:
    """Write with `text`, `document` and `file`; use as a context manager. Raises StorageError for the output file."""

    def __init__(
        self, path: Path, folder: str, redactor: Redactor, *, total_bytes: int = TOTAL_BYTES
    ) -> None:
        self._path = path
        self._folder = folder
        self._redactor = redactor
        self._left_bytes = total_bytes
        self.contents: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise StorageError(
                f"{self._path} cannot be written: {error.strerror}",
                remedy="name another file with --output; an existing one is never overwritten",
            ) from error
        self._raw = os.fdopen(descriptor, "wb")
        self._tar = tarfile.open(fileobj=self._raw, mode="w:gz")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()
        self._raw.close()
        if kind is not None:
            self._path.unlink(missing_ok=True)

    def text(self, name: str, text: str) -> None:
        """Add a text; of one that is too long its end is kept."""
        self._clean(name, self._redactor.clean(text))

    def document(self, name: str, document: object) -> None:
        """Add JSON; it stays JSON unless it is too long."""
        clean = self._redactor.clean_document(document)
        text = json.dumps(clean, indent=1, ensure_ascii=False, default=str)
        self._clean(name, self._redactor.without_known(text) + "\n")

    def file(self, name: str, path: Path) -> None:
        """Add a file as it is, byte for byte: for artefacts somebody asked for. One that is too large is left out."""
        try:
            size = path.stat().st_size
            if size > self._left_bytes:
                self.contents.append({"name": name, "bytes": 0, "left_out_bytes": size})
                return
            info = self._info(name, size)
            with path.open("rb") as file:
                self._tar.addfile(info, file)
        except OSError as error:
            self.contents.append({"name": name, "bytes": 0, "error": str(error)})
            return
        self._left_bytes -= size
        self.contents.append({"name": name, "bytes": size})

    def _clean(self, name: str, text: str) -> None:
        data = text.encode("utf-8", "replace")
        limit = min(MEMBER_BYTES, self._left_bytes)
        is_cut = len(data) > limit
        self._add(name, data[len(data) - limit :] if is_cut else data, is_cut=is_cut)

    def _add(self, name: str, data: bytes, *, is_cut: bool) -> None:
        self._tar.addfile(self._info(name, len(data)), io.BytesIO(data))
        self._left_bytes -= len(data)
        self.contents.append({"name": name, "bytes": len(data)} | ({"cut": True} if is_cut else {}))

    def _info(self, name: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(f"{self._folder}/{name}")
        info.size, info.mode, info.mtime = size, _MODE, int(time.time())
        return info
