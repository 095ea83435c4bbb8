"""What an examination found. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class Level(StrEnum):
    """How bad it is. `error`: printing fails or is not safe; `warning`: it works and will not always."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of a check: `check` names it, `message` says what is, `remedy` is the command or act that mends it."""

    check: str
    level: Level
    message: str
    remedy: str = ""


def ok(check: str, message: str) -> Finding:
    """Build the answer of a check that found nothing wrong."""
    return Finding(check, Level.OK, message)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order of the examination."""

    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Level:
        """The worst level among them."""
        order = list(Level)
        return max((finding.level for finding in self.findings), key=order.index, default=Level.OK)

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "worst": self.worst.value,
            "counts": counts(self.findings),
            "findings": [asdict(finding) | {"level": finding.level.value} for finding in self.findings],
        }


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many findings there are of each level."""
    return {level.value: sum(finding.level is level for finding in findings) for level in Level}
