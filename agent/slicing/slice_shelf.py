"""Accepted slices on disk, known by the hash of everything that went in; the oldest make room for new ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

DEFAULT_LIMIT_BYTES = 1 << 30
_MAX_JSON_BYTES = 1 << 20
_KEY_CHARS = 64
# In a description: the digest of the file that was sliced.
_OF = "artefact_sha256"


class SliceShelf:
    """Files `<key>.gcode` with a description `<key>.json` beside them, in `directory`. Blocking file work."""

    def __init__(self, directory: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes

    @property
    def directory(self) -> Path:
        """Where the files are; it exists after `open`."""
        return self._directory

    def open(self) -> None:
        """Create the directory and remove unfinished files. OSError when the disk refuses."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._directory.glob(".*.part"):
            leftover.unlink(missing_ok=True)
        for slice_ in self._directory.glob("*.gcode"):
            if not slice_.with_suffix(".json").is_file():
                slice_.unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        """Return the place of a slice. ValueError for anything but a key."""
        if len(key) != _KEY_CHARS or not set(key) <= set("0123456789abcdef"):
            raise ValueError(f"{key[:80]!r} is no key of a slice")
        return self._directory / f"{key}.gcode"

    def find(self, key: str) -> tuple[Path, dict[str, Any]] | None:
        """Return file and description, None when one of them is missing or unreadable. Finding it keeps it longer."""
        path = self.path(key)
        try:
            raw = path.with_suffix(".json").read_bytes()
            description = json.loads(raw) if len(raw) <= _MAX_JSON_BYTES else None
            if not isinstance(description, dict) or path.stat().st_size != description.get("size_bytes"):
                return None
            os.utime(path)
            description.pop(_OF, None)
        except (OSError, ValueError, RecursionError):
            return None
        return path, description

    def keep(self, key: str, description: dict[str, Any], artefact_sha256: str) -> None:
        """Describe the slice of a file that lies at `path(key)`, then make room. OSError when the disk refuses."""
        path = self.path(key)
        part = self._directory / f".{key}.part"
        told = {**description, _OF: artefact_sha256}
        part.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")
        part.replace(path.with_suffix(".json"))
        self._make_room(path)

    def drop(self, artefact_sha256: str) -> None:
        """Delete all slices of a file. OSError when the disk refuses."""
        for described in self._directory.glob("*.json"):
            if artefact_sha256.encode("ascii") in described.read_bytes():
                described.with_suffix(".gcode").unlink(missing_ok=True)
                described.unlink(missing_ok=True)

    def _make_room(self, newest: Path) -> None:
        files = sorted(
            ((entry.stat(), entry) for entry in self._directory.glob("*.gcode")),
            key=lambda pair: pair[0].st_mtime_ns,
        )
        surplus = sum(facts.st_size for facts, _ in files) - self._limit_bytes
        for facts, entry in files:
            if surplus <= 0:
                break
            if entry != newest:
                entry.unlink(missing_ok=True)
                entry.with_suffix(".json").unlink(missing_ok=True)
                surplus -= facts.st_size
