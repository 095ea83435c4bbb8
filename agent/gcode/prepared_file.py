"""The file a gate leaves behind, named after its content. Apart from the gate, which the daemon does not load."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Self

GATE_VERSION = 2  # counted up when the rules change: older results are checked again
_WRITE_BYTES = 1 << 20
_TEMPORARY = ".preparing-"


class PreparedWriter:
    """A temporary file beside the final name; unless committed it is gone at the end of the `with` block."""

    def __init__(self, out_dir: Path) -> None:
        self._out_dir = out_dir
        self._digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, suffix=".tmp", dir=out_dir)
        self._path = Path(name)
        self._file = os.fdopen(handle, "wb", buffering=_WRITE_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        finally:
            self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append lines."""
        self._digest.update(data)
        self._file.write(data)

    def commit(self) -> str:
        """Sync and rename to `<sha256>.gcode`; return the SHA-256. OSError when the disk refuses."""
        sha256 = self._digest.hexdigest()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.chmod(0o640)
        self._path.replace(self._out_dir / f"{sha256}.gcode")
        directory = os.open(self._out_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return sha256


def remove_leftovers(out_dir: Path) -> int:
    """Delete temporary files of gates that were killed; return how many. Only while no gate runs."""
    leftovers = list(out_dir.glob(f"{_TEMPORARY}*"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
