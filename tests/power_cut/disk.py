"""A disk with a volatile cache: what is on it after the power went, for a given order of file operations.

The rules are those of POSIX, not of one file system: a write is sure only after an fsync of its file, a name only after
an fsync of its directory. Of everything later the power cut may keep any part: writes are dropped, kept out of order,
or torn at a sector; names are kept up to some point (a journalling file system keeps their order).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.power_cut.trace import (
    Acknowledged,
    Created,
    Operation,
    Removed,
    Renamed,
    Synced,
    Truncated,
    Wrote,
)

SECTOR_BYTES = 512


@dataclass(slots=True)
class Inode:
    """A file's sure content, and what has been done to it since."""

    sure: bytearray = field(default_factory=bytearray)
    pending: list[Wrote | Truncated] = field(default_factory=list)

    def flush(self) -> None:
        for change in self.pending:
            _apply(self.sure, change)
        self.pending.clear()


class Disk:
    """Feed it operations with `do`; ask with `after_power_cut` what is left now."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self._live: dict[str, Inode] = {}
        self._sure: dict[str, Inode] = {}
        self._pending: list[tuple[Operation, Inode | None]] = []

    def do(self, operation: Operation) -> None:
        """Carry one operation out."""
        match operation:
            case Acknowledged(seq):
                self.acknowledged = seq
            case Created(path):
                inode = self._live[path] = Inode()
                self._pending.append((operation, inode))
            case Wrote(path, _, _) | Truncated(path, _):
                self._live[path].pending.append(operation)
            case Synced(path, is_directory):
                if is_directory:
                    self._sync_names(path)
                else:
                    self._live[path].flush()
            case Renamed(path, target):
                inode = self._live[target] = self._live.pop(path)
                self._pending.append((operation, inode))
            case Removed(path):
                self._live.pop(path, None)
                self._pending.append((operation, None))

    def after_power_cut(self, folder: Path, rng: random.Random | None) -> None:
        """Write what is left into `folder`. Without `rng` everything that is not sure is lost."""
        names = dict(self._sure)
        kept = 0 if rng is None else rng.randint(0, len(self._pending))
        for operation, inode in self._pending[:kept]:
            _rename(names, operation, inode)
        for path, inode in names.items():
            content = bytearray(inode.sure)
            if rng is not None:
                for change in inode.pending:
                    _maybe(content, change, rng)
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def _sync_names(self, folder: str) -> None:
        rest = []
        for operation, inode in self._pending:
            if _folder_of(operation) == folder:
                _rename(self._sure, operation, inode)
            else:
                rest.append((operation, inode))
        self._pending = rest


def _folder_of(operation: Operation) -> str:
    path = operation.target if isinstance(operation, Renamed) else getattr(operation, "path", "")
    return str(PurePosixPath(path).parent)


def _rename(names: dict[str, Inode], operation: Operation, inode: Inode | None) -> None:
    match operation:
        case Created(path):
            assert inode is not None
            names[path] = inode
        case Renamed(path, target):
            # The new name is the target folder's business; whether the old one was ever sure does not matter to it.
            assert inode is not None
            names.pop(path, None)
            names[target] = inode
        case Removed(path):
            names.pop(path, None)


def _apply(content: bytearray, change: Wrote | Truncated) -> None:
    if isinstance(change, Truncated):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    end = change.offset + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[change.offset : end] = change.data


def _maybe(content: bytearray, change: Wrote | Truncated, rng: random.Random) -> None:
    """Keep all, nothing or some sectors of a change."""
    fate = rng.random()
    if fate < 0.4:
        return
    if fate < 0.8 or isinstance(change, Truncated):
        _apply(content, change)
        return
    for start in range(0, len(change.data), SECTOR_BYTES):
        if rng.random() < 0.5:
            sector = change.data[start : start + SECTOR_BYTES]
            _apply(content, Wrote(change.path, change.offset + start, sector))


def cut_points(operations: Sequence[Operation], count: int) -> list[int]:
    """Spread `count` points over a trace, from the first acknowledgement to its end."""
    first = next(index for index, operation in enumerate(operations) if isinstance(operation, Acknowledged))
    span = len(operations) - first
    return sorted({first + 1 + round(step * (span - 1) / max(1, count - 1)) for step in range(count)})
