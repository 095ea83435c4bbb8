"""Collects findings: one per kind, with the first line and a count, however often it occurs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.domain.artefact import Finding, Severity

MAX_KINDS = 200  # a hostile file must not fill the memory with messages
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class FindingLog:
    """`add` may be called for every line; `findings` is short, errors first, in order of appearance."""

    def __init__(self, severities: Mapping[str, str] | None = None) -> None:
        """`severities`: what the owner of the machine thinks of some findings (id to severity)."""
        self._severities = severities or {}
        self._first: dict[tuple[str, str], Finding] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self.errors = 0

    def add(self, finding: Finding, line: int, key: str = "") -> None:
        """Record a finding on `line`; those with the same id and `key` (such as the command word) are counted."""
        if own := self._severities.get(finding.id):
            finding = replace(finding, severity=Severity(own))
        if finding.severity is Severity.ERROR:
            self.errors += 1
        kind = (finding.id, key)
        if kind not in self._first:
            if len(self._first) >= MAX_KINDS:
                kind = (finding.id, "")
                if kind not in self._first and len(self._first) >= 2 * MAX_KINDS:
                    return
            self._first.setdefault(kind, replace(finding, line=line))
        self._counts[kind] = self._counts.get(kind, 0) + 1

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One finding per kind; the message tells how often when it was more than once."""
        found = [
            finding
            if self._counts[kind] == 1
            else replace(finding, message=f"{finding.message} ({self._counts[kind]} times)")
            for kind, finding in self._first.items()
        ]
        return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))
