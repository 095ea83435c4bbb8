"""What remains after a crash: the journal, the daemon's own log, the last end of the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor import programs
from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# A daemon that was started again this often since the machine's start has a reason for it.
MANY_RESTARTS = 5


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """`restarts` since the machine's start, None where no service manager tells; `result` is systemd's last word."""

    unit: str
    is_journal_kept: bool
    has_own_log: bool
    restarts: int | None = None
    result: str = ""


def look(
    unit: str, state_dir: Path, root: Path, run: Callable[[Sequence[str]], str | None] = programs.ask
) -> RecordFacts:
    """Read the facts."""
    said = run(["systemctl", "show", f"fabunit@{unit}", "--property=NRestarts,Result"]) or ""
    values = dict(line.partition("=")[::2] for line in said.splitlines())
    restarts = values.get("NRestarts", "")
    return RecordFacts(
        unit,
        is_journal_kept=(root / "var" / "log" / "journal").is_dir(),
        has_own_log=(state_dir / "logs" / "fabunit.log").exists(),
        restarts=int(restarts) if restarts.isdigit() else None,
        result=values.get("Result", ""),
    )


def judge(facts: RecordFacts) -> list[Finding]:
    """Return what is wrong."""
    found = []
    if not facts.is_journal_kept:
        own = "the daemon's own log and events stay" if facts.has_own_log else "nothing else is kept yet"
        found.append(
            Finding(
                "journal",
                Level.NOTE,
                f"the journal is gone after each start of this machine; {own}",
                "sudo mkdir -p /var/log/journal && sudo systemctl restart systemd-journald",
            )
        )
    if facts.restarts is not None and facts.restarts >= MANY_RESTARTS:
        found.append(
            Finding(
                "restarts",
                Level.WARNING,
                f"the service was started again {facts.restarts} times (last result: {facts.result or 'unknown'})",
                f"journalctl -u fabunit@{facts.unit} -p warning -n 100",
            )
        )
    return found or [ok("records", "logs outlive a restart of the machine")]
