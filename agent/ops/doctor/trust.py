"""Who may change what the daemon obeys: its configuration and the profiles with their scripts."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.accounts import group_name, user_name
from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# A person of the daemon's own group may control the printer anyway.
_OWN_GROUPS = ("root", "fabunit")


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """`open`: paths with their modes that others may change; `count`: how many were looked at."""

    open: tuple[tuple[str, int], ...]
    count: int


def look(paths: Iterable[Path | None]) -> TrustFacts:
    """Read the facts about files and folders; what is missing is left out."""
    found: list[tuple[str, int]] = []
    count = 0
    for path in paths:
        try:
            seen = path.stat() if path is not None else None
        except OSError:
            continue
        if seen is None:
            continue
        count += 1
        # Whoever may write a folder may replace what lies in it, unless it is sticky (/tmp).
        if not (stat.S_ISDIR(seen.st_mode) and seen.st_mode & stat.S_ISVTX) and _is_open(
            seen.st_mode, user_name(seen.st_uid), group_name(seen.st_gid)
        ):
            found.append((str(path), stat.S_IMODE(seen.st_mode)))
    return TrustFacts(tuple(found), count)


def judge(facts: TrustFacts) -> list[Finding]:
    """Return what is wrong."""
    if not facts.count:
        return []
    found: Sequence[Finding] = [
        Finding(
            "config-access",
            Level.WARNING,
            f"others on this machine may change {path} (mode {mode:03o}): limits, scripts, where files come from",
            f"sudo chmod go-w {path}",
        )
        for path, mode in facts.open
    ]
    return [*found] or [ok("config-access", "nobody else may change the configuration")]


def _is_open(mode: int, owner: str, group: str) -> bool:
    if mode & stat.S_IWOTH:
        return True
    return bool(mode & stat.S_IWGRP) and group not in (owner, *_OWN_GROUPS)
