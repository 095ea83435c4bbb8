"""How much filament a print takes, and how much of it a part of the print has taken. Pure."""

from __future__ import annotations

from agent.domain.artefact import Prepared
from agent.printer.progress import ProgressMeter


def filament_mm(prepared: Prepared, first_line: int = 0, last_line: int | None = None) -> dict[str, float]:
    """Return millimetres by tool (`T0`, …) for what lies behind `first_line` up to `last_line`; empty when not known.

    A part counts by its share of the estimated time, in a file without one by its share of the lines.
    """
    last_line = prepared.lines if last_line is None else last_line
    share = _share(prepared, last_line) - _share(prepared, first_line)
    return {tool: length * share for tool, length in _whole(prepared).items()} if share > 0 else {}


def _whole(prepared: Prepared) -> dict[str, float]:
    analysed = prepared.summary.get("analysis", {}).get("filament_mm") or {}
    if analysed:
        return {str(tool): float(length) for tool, length in analysed.items() if length > 0}
    said = prepared.metadata.filament_mm
    return {"T0": said} if said else {}


def _share(prepared: Prepared, line: int) -> float:
    if line >= prepared.lines:
        return 1.0
    meter = ProgressMeter(prepared, "", 0.0)
    whole_s = meter.estimated_s(prepared.lines)
    return meter.estimated_s(line) / whole_s if whole_s > 0 else max(0, line) / prepared.lines
