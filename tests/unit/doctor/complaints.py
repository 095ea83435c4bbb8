"""What a check complains about."""

from __future__ import annotations

from agent.ops.doctor.finding import Finding, Level


def bad(findings: list[Finding]) -> dict[str, Finding]:
    """Return the findings that are not fine, by their check."""
    return {finding.check: finding for finding in findings if finding.level is not Level.OK}


def expect_one(findings: list[Finding], check: str, level: Level, remedy: str) -> None:
    """Assert that `check` and nothing else complains, at this level and with this remedy."""
    found = bad(findings)
    assert set(found) == {check}
    assert found[check].level is level
    assert remedy in found[check].remedy
