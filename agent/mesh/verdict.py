"""From findings and ended checks to one word. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from agent.domain.artefact import Severity
from agent.mesh.finding import CheckRun, CheckStatus, MeshFinding

# Findings that are questions only a person can answer: until then nothing is known for sure.
QUESTIONS = frozenset({"size.units"})


class Verdict(StrEnum):
    """What this unit says about a part."""

    PRINTABLE = "printable"
    WITH_WARNINGS = "printable_with_warnings"
    NOT_PRINTABLE = "not_printable"
    UNDETERMINED = "undetermined"


def decide(findings: Sequence[MeshFinding], runs: Sequence[CheckRun]) -> Verdict:
    """Return the verdict.

    An error decides whatever else happened. Without one, a check that did not come to its end, an open question, or
    no check at all means that nobody knows.
    """
    if any(finding.severity is Severity.ERROR for finding in findings):
        return Verdict.NOT_PRINTABLE
    if not runs or any(run.status in (CheckStatus.FAILED, CheckStatus.SKIPPED) for run in runs):
        return Verdict.UNDETERMINED
    if any(finding.id in QUESTIONS for finding in findings):
        return Verdict.UNDETERMINED
    if any(finding.severity is Severity.WARNING for finding in findings):
        return Verdict.WITH_WARNINGS
    return Verdict.PRINTABLE
