"""The disk and what fabunit keeps on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.errors import FabunitError
from agent.ops.doctor.finding import Finding, Level, ok
from agent.storage.inspection import inspect

if TYPE_CHECKING:
    from pathlib import Path

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """`verdict` is SQLite's on the database, "" where there is none; `damaged` are databases that were set aside."""

    state_dir: str
    free_bytes: int | None
    min_free_bytes: int
    is_read_only: bool = False
    verdict: str = ""
    error: str = ""
    damaged: tuple[str, ...] = ()
    has_backup: bool = False


def look(state_dir: Path, min_free_bytes: int) -> DiskFacts:
    """Read the facts; the database is opened for reading, beside a running daemon."""
    try:
        figures = os.statvfs(state_dir)
    except OSError:
        return DiskFacts(str(state_dir), None, min_free_bytes)
    verdict, error = "", ""
    database = state_dir / "fabunit.db"
    if database.exists():
        try:
            verdict = inspect(database).verdict
        except FabunitError as failure:
            error = failure.message
    return DiskFacts(
        str(state_dir),
        figures.f_bavail * figures.f_frsize,
        min_free_bytes,
        is_read_only=bool(figures.f_flag & os.ST_RDONLY),
        verdict=verdict,
        error=error,
        damaged=tuple(
            path.name for path in sorted(state_dir.glob("fabunit.db.corrupt-*")) if path.name.endswith("Z")
        ),
        has_backup=(state_dir / "fabunit.db.backup").exists(),
    )


def judge(facts: DiskFacts) -> list[Finding]:
    """Return what is wrong."""
    return [*_judge_space(facts), *_judge_database(facts)]


def _judge_space(facts: DiskFacts) -> list[Finding]:
    if facts.free_bytes is None:
        return []
    if facts.is_read_only:
        return [
            Finding(
                "disk",
                Level.ERROR,
                f"the disk that holds {facts.state_dir} is mounted read-only: a failing SD card does that",
                "dmesg | grep -i -e mmc -e ext4   (then replace the card; the state directory can be copied over)",
            )
        ]
    told = f"{facts.free_bytes / _GIB:.1f} GiB free in {facts.state_dir}"
    if facts.free_bytes < facts.min_free_bytes:
        return [
            Finding(
                "disk",
                Level.ERROR,
                f"{told}: below limits.min_free_bytes ({facts.min_free_bytes >> 20} MiB), no new jobs are taken",
                f"sudo apt-get clean && sudo journalctl --vacuum-size=50M && sudo du -xh / | sort -h | tail   "
                f"(jobs that are over keep their files: see du -sh {facts.state_dir}/*)",
            )
        ]
    return [ok("disk", told)]


def _judge_database(facts: DiskFacts) -> list[Finding]:
    found = []
    if facts.error:
        found.append(
            Finding(
                "database", Level.ERROR, facts.error, "sudo fabunit doctor   (needs the daemon's own rights)"
            )
        )
    elif facts.verdict and facts.verdict != "ok":
        found.append(
            Finding(
                "database",
                Level.ERROR,
                f"the database is damaged: {facts.verdict}",
                "sudo systemctl restart 'fabunit@*'   (the start sets it aside and takes the last good copy; "
                "check the SD card)",
            )
        )
    elif facts.verdict:
        backup = ", with a copy from the last start" if facts.has_backup else ""
        found.append(ok("database", f"the database is sound{backup}"))
    if facts.damaged:
        found.append(
            Finding(
                "database-history",
                Level.WARNING,
                f"a damaged database was set aside: {facts.damaged[-1]}",
                f"replace the SD card if it happens again; then: sudo rm {facts.state_dir}/fabunit.db.corrupt-*",
            )
        )
    return found
