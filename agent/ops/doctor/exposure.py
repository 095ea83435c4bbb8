"""How much of the system the service can reach, by systemd's own count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.ops.doctor.service import ServiceFacts

# The unit as it is shipped scores below this (systemd/README.md); services without hardening are above 9.
MOST_EXPOSURE = 1.6
_SCORE = re.compile(r"exposure level for \S+: +(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class ExposureFacts:
    """`score` goes from 0 to 10; None where systemd does not tell. `added`: files that change what is shipped.

    `restoring_command` takes those away.
    """

    unit: str
    score: float | None = None
    added: tuple[str, ...] = ()
    restoring_command: str = ""


def look(unit_file: ServiceFacts, run: Callable[[Sequence[str]], str | None]) -> ExposureFacts:
    """Ask systemd-analyze about the installed service."""
    unit = unit_file.unit
    said = run(["systemd-analyze", "security", "--no-pager", f"fabunit@{unit}.service"]) or ""
    found = _SCORE.search(said)
    score = float(found[1]) if found else None
    return ExposureFacts(unit, score, unit_file.added, unit_file.restoring_command)


def judge(facts: ExposureFacts) -> list[Finding]:
    """Return what is wrong."""
    if facts.score is None:
        return []
    service = f"fabunit@{facts.unit}"
    if facts.score <= MOST_EXPOSURE:
        return [ok("exposure", f"{service} is shut off from the system (exposure {facts.score} of 10)")]
    why = f"; changed by {', '.join(facts.added)}" if facts.added else ""
    return [
        Finding(
            "exposure",
            Level.WARNING,
            f"{service} reaches more of the system than it should: exposure {facts.score}, as shipped at most "
            f"{MOST_EXPOSURE}{why}",
            facts.restoring_command if facts.added else f"systemctl cat {service}   (shows what it may do)",
        )
    ]
