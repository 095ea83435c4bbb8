"""What is said of a checked and sliced mesh: facts for the slicer, descriptions for records and events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.domain.errors import FabunitError
from agent.mesh.report.document import summary
from agent.mesh.report.text import finding_line, verdict_line
from agent.slicing.evidence import MeshFacts
from agent.slicing.setup import PrintSetup
from agent.slicing.slicer import SliceResult

_TOLD_FINDINGS = 5
_TOLD_CHARS = 300
_EVENT_KEYS = (
    "engine", "engine_version", "printer", "material", "quality", "supports", "setup_digest", "sha256",
    "estimate_s", "filament_mm", "layers",
)  # fmt: skip


class NotPrintableError(FabunitError):
    """The mesh check found something that keeps the part from being printed; `findings` as in its report."""

    code = "not_printable"
    exit_code = 4
    http_status = 422

    def __init__(self, message: str, findings: Sequence[dict[str, Any]], remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.findings = tuple(findings)


def demand_printable(report: dict[str, Any]) -> None:
    """Raise NotPrintableError for an error, FabunitError `undetermined` where nobody knows: somebody has to decide."""
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    if report["verdict"] == "not_printable":
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise NotPrintableError(
            f"{first['message']}{more}", errors[:_TOLD_FINDINGS], remedy=str(first.get("remedy", ""))
        )
    if report["verdict"] == "undetermined":
        raise FabunitError(
            f"it could not be determined whether the mesh can be printed: {verdict_words(report)}",
            code="undetermined",
            remedy="`fabunit check` says what is open",
        )


def facts_of(report: dict[str, Any]) -> MeshFacts | None:
    """Return size, volume and triangles of a checked mesh; its volume counts only when it is closed."""
    mesh = report.get("mesh")
    if not mesh:
        return None
    x, y, z = mesh["size_mm"]
    is_closed = not mesh.get("open_edges") and not mesh.get("flipped_edges")
    volume = mesh.get("volume_mm3") if is_closed and (mesh.get("volume_mm3") or 0) > 0 else None
    return MeshFacts((x, y, z), volume, int(mesh["triangles"]))


def describe(result: SliceResult, setup: PrintSetup, report: dict[str, Any]) -> dict[str, Any]:
    """Return what belongs into receipts and reports: with what the file was made, and what it will take."""
    return {
        "size_bytes": result.size_bytes,
        "sha256": result.sha256,
        "mesh_sha256": result.mesh_sha256,
        "engine": result.engine,
        "engine_version": result.engine_version,
        "setup_digest": setup.digest,
        "printer": setup.printer,
        "material": setup.material,
        "quality": setup.quality,
        "supports": setup.supports,
        "check_verdict": report["verdict"],
        "repairs": repairs(report),
        "estimate_s": result.prepared.metadata.estimate_s,
        "filament_mm": result.prepared.metadata.filament_mm,
        "layers": len(result.prepared.layers),
        "warnings": list(result.warnings[:_TOLD_FINDINGS]),
    }


def repairs(report: dict[str, Any]) -> list[str]:
    """Return what was mended on the way into the slicer: nothing is repaired silently."""
    done = report.get("repair") or {}
    return [f"{step['name']}: {step['changed']}" for step in done.get("steps", [])]


def slice_told(description: dict[str, Any]) -> dict[str, Any]:
    """Return what an event says of a slice; below 1 kB."""
    return {key: description[key] for key in _EVENT_KEYS if key in description}


def checked_record(report: dict[str, Any], setup: PrintSetup, report_path: str) -> dict[str, Any]:
    """Return what is kept with the job about its check: the event's summary, sentences, profile and place."""
    told = [finding for finding in report["findings"] if finding["severity"] != "info"]
    return {
        **summary(report),
        "lines": [line(finding) for finding in told[:_TOLD_FINDINGS]],
        "printer": setup.printer,
        "material": setup.material,
        "quality": setup.quality,
        "setup_digest": setup.digest,
        "profile_digest": setup.profile.digest,
        "report": report_path,
    }


def line(finding: dict[str, Any]) -> str:
    """Return one finding as severity, number, limit and place."""
    return f"{finding['severity']} {finding_line(finding)}"[:_TOLD_CHARS]


def verdict_words(report: dict[str, Any]) -> str:
    """Return the verdict, the worst finding and what helps against it as one sentence."""
    found = report["findings"]
    if not found:
        return verdict_line(report)
    remedy = f"; {found[0]['remedy']}" if found[0]["remedy"] else ""
    return f"{verdict_line(report)}; {finding_line(found[0])}{remedy}"
