"""The file system under the state directory: one that keeps what it is told, and has not begun to fail."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from pathlib import Path

# Their content is gone with the power; Raspberry Pi OS's "overlay file system" is the second.
IN_MEMORY = frozenset({"tmpfs", "overlay", "ramfs"})
# SQLite needs locks, flushes and renames that hold (sqlite.org/howtocorrupt.html); vfat has no owners either.
UNSOUND = frozenset({"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk", "nfs", "nfs4", "cifs", "smb3"})
# Each job takes a few files.
FEW_INODES = 1000


@dataclass(frozen=True, slots=True)
class FilesystemFacts:
    """`kind` is the kernel's word ("" where it does not tell); `errors` those ext4 has recorded since its last check.

    `free_inodes` is None where the file system has no such limit.
    """

    state_dir: str
    mount_point: str = ""
    kind: str = ""
    source: str = ""
    is_read_only: bool = False
    errors: int = 0
    free_inodes: int | None = None


@dataclass(frozen=True, slots=True)
class _Mount:
    point: str
    device: str
    kind: str
    source: str
    is_read_only: bool


def look(state_dir: Path, root: Path) -> FilesystemFacts:
    """Read the facts; `root` holds `proc` and `sys`."""
    mount = _mount_of(os.path.realpath(state_dir), root)
    if mount is None:
        return FilesystemFacts(str(state_dir))
    try:
        figures = os.statvfs(state_dir)
        inodes = figures.f_favail if figures.f_files else None
    except OSError:
        inodes = None
    return FilesystemFacts(
        str(state_dir),
        mount.point,
        mount.kind,
        mount.source,
        mount.is_read_only,
        errors=_errors(mount.device, root),
        free_inodes=inodes,
    )


def judge(facts: FilesystemFacts) -> list[Finding]:
    """Return what is wrong."""
    if not facts.kind:
        return []
    found = [*_judge_kind(facts), *_judge_health(facts)]
    return found or [ok("file-system", f"{facts.state_dir} is on {facts.kind} ({facts.source})")]


def _judge_kind(facts: FilesystemFacts) -> list[Finding]:
    if facts.kind == "overlay":
        return [
            Finding(
                "file-system",
                Level.WARNING,
                f"{facts.state_dir} lies on an overlay: what is written there is lost when the power goes",
                "sudo raspi-config nonint disable_overlayfs && sudo reboot   (in a container: mount a volume there)",
            )
        ]
    if facts.kind in IN_MEMORY or facts.kind in UNSOUND:
        why = "is lost when the power goes" if facts.kind in IN_MEMORY else "may be damaged by a power cut"
        return [
            Finding(
                "file-system",
                Level.WARNING,
                f"{facts.state_dir} is on {facts.kind}: the queue's database {why}",
                "set state_dir in [unit] to a folder on a local ext4, btrfs, xfs or f2fs",
            )
        ]
    return []


def _judge_health(facts: FilesystemFacts) -> list[Finding]:
    found = []
    if facts.is_read_only:
        found.append(
            Finding(
                "file-system",
                Level.ERROR,
                f"{facts.mount_point} is mounted read-only: nothing can be recorded, no job is taken; a failing SD "
                "card does that",
                f"dmesg | grep -i -e mmc -e ext4; sudo mount -o remount,rw {facts.mount_point}   "
                "(if it happens again, replace the card; the state directory can be copied over)",
            )
        )
    if facts.errors:
        found.append(
            Finding(
                "file-system",
                Level.WARNING,
                f"the file system on {facts.source} has recorded {facts.errors} errors: the SD card may be dying",
                f"sudo tune2fs -c 1 {facts.source} && sudo reboot   (checks it at every start; a card that goes on "
                "like this has to be replaced)",
            )
        )
    if facts.free_inodes is not None and facts.free_inodes < FEW_INODES:
        found.append(
            Finding(
                "file-system",
                Level.ERROR,
                f"{facts.mount_point} has room for {facts.free_inodes} more files only",
                f"sudo du --inodes -xd3 {facts.mount_point} | sort -n | tail   (and remove what is not needed)",
            )
        )
    return found


def _mount_of(path: str, root: Path) -> _Mount | None:
    """Return the mount that holds a path: of the longest mount point above it the one mounted last (proc(5))."""
    try:
        lines = (root / "proc" / "self" / "mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    best = None
    for line in lines:
        mount = _parse(line)
        if mount is None or not (path == mount.point or path.startswith(mount.point.rstrip("/") + "/")):
            continue
        if best is None or len(mount.point) >= len(best.point):
            best = mount
    return best


def _parse(line: str) -> _Mount | None:
    left, separator, right = line.partition(" - ")
    words, tail = left.split(" "), right.split(" ")
    if not separator or len(words) < 6 or len(tail) < 3:
        return None
    is_read_only = "ro" in words[5].split(",") or "ro" in tail[2].split(",")
    return _Mount(_plain(words[4]), words[2], tail[0], _plain(tail[1]), is_read_only)


def _plain(word: str) -> str:
    """Undo the kernel's octal escapes of blanks, tabs, line ends and backslashes."""
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        word = word.replace(f"\\{code}", character)
    return word


def _errors(device: str, root: Path) -> int:
    """Return what ext4 has counted; 0 for other file systems."""
    name = os.path.basename(os.path.realpath(root / "sys" / "dev" / "block" / device))  # noqa: PTH119 - a string
    try:
        return int((root / "sys" / "fs" / "ext4" / name / "errors_count").read_text("ascii"))
    except (OSError, ValueError):
        return 0
