"""The report as one JSON document: the same bytes for the same file, profile and checker; what varies is in `run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.domain.artefact import Severity
from agent.mesh.checker_version import CHECKER_VERSION
from agent.mesh.finding import CheckRun, CheckStatus, MeshFinding
from agent.mesh.limits import Limits, to_dict
from agent.mesh.verdict import Verdict, decide

SCHEMA_VERSION = 1
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def sort_findings(findings: Sequence[MeshFinding]) -> list[MeshFinding]:
    """Return findings with the worst first, then by id: an order that does not depend on how they were found."""
    return sorted(findings, key=lambda finding: (_ORDER[finding.severity], finding.id))


def compose(
    *,
    sha256: str,
    size_bytes: int,
    format_name: str,
    checker_version: int,
    limits: Limits,
    findings: Sequence[MeshFinding],
    runs: Sequence[CheckRun],
    mesh: dict[str, Any] | None,
    estimate: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the report without its `run` block. `mesh` and `estimate` are null when the file could not be read."""
    ordered = sort_findings(findings)
    return {
        "schema": SCHEMA_VERSION,
        "checker": checker_version,
        "file": {"sha256": sha256, "size_bytes": size_bytes, "format": format_name},
        "limits": to_dict(limits),
        "limits_digest": limits.digest,
        "verdict": decide(ordered, runs).value,
        "counts": {kind.value: sum(one.severity is kind for one in ordered) for kind in Severity},
        "findings": [finding.to_dict() for finding in ordered],
        "checks": [run.to_dict() for run in runs],
        "mesh": mesh,
        "estimate": estimate,
        "orientation": None,
        "repair": None,
    }


def incomplete(
    limits: Limits, why: str, *, sha256: str = "", size_bytes: int = 0, format_name: str = ""
) -> dict[str, Any]:
    """Return the report of a check that did not come to its end: nothing is known about the part."""
    finding = MeshFinding(
        "check.incomplete",
        Severity.WARNING,
        f"the check did not finish: {why}",
        "try again while nothing else runs, or with fewer triangles",
    )
    return compose(
        sha256=sha256,
        size_bytes=size_bytes,
        format_name=format_name,
        checker_version=CHECKER_VERSION,
        limits=limits,
        findings=[finding],
        runs=[CheckRun("load", CheckStatus.FAILED, why[:200])],
        mesh=None,
        estimate=None,
    )


def summary(document: dict[str, Any]) -> dict[str, Any]:
    """Return what goes into a job's event: verdict, counts and the worst findings; below 1 kB."""
    worst = [
        {
            "id": found["id"],
            "severity": found["severity"],
            "measured": found["measured"],
            "limit": found["limit"],
        }
        for found in document["findings"]
        if found["severity"] != Severity.INFO.value
    ]
    return {
        "verdict": document["verdict"],
        "counts": document["counts"],
        "findings": worst[:5],
        "limits_digest": document["limits_digest"][:16],
        "checker": document["checker"],
    }


def is_printable(document: dict[str, Any]) -> bool:
    """Tell whether the verdict lets the part be printed."""
    return document["verdict"] in (Verdict.PRINTABLE.value, Verdict.WITH_WARNINGS.value)
