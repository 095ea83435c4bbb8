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
# Some jobs' worth above the limit: time to act before the first one is refused.
NEARLY_FULL = 3
_LARGEST = "sudo du -xh / | sort -h | tail"


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """`verdict` is SQLite's on the database, "" where there is none; `damaged` are databases that were set aside."""

    state_dir: str
    free_bytes: int | None
    min_free_bytes: int
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
    told = f"{facts.free_bytes / _GIB:.1f} GiB free in {facts.state_dir}"
    if facts.free_bytes < facts.min_free_bytes:
        return [
            Finding(
                "disk",
                Level.ERROR,
                f"{told}: below limits.min_free_bytes ({facts.min_free_bytes >> 20} MiB), no new jobs are taken",
                f"sudo apt-get clean && sudo journalctl --vacuum-size=50M && {_LARGEST}   "
                f"(jobs that are over keep their files: see du -sh {facts.state_dir}/*)",
            )
        ]
    if facts.free_bytes < facts.min_free_bytes * NEARLY_FULL:
        least = f"new jobs are refused below {facts.min_free_bytes >> 20} MiB"
        return [
            Finding(
                "disk", Level.WARNING, f"{told}: nearly full; {least}", f"sudo apt-get clean && {_LARGEST}"
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
