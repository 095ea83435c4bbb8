"""Brings the gate's result and the analysis of the prepared file together."""

from __future__ import annotations

from dataclasses import replace

from agent.domain.artefact import Layer, Prepared
from agent.gcode.analysis.result import Analysis


def with_analysis(prepared: Prepared, analysis: Analysis) -> Prepared:
    """Return the gate's result with the model's times in place of interpolated ones.

    `analysis` is that of the prepared file, with the gate's `offset_step`. The model's seconds become the estimate, so
    that progress and remaining time rest on the same figures; what the slicer promised stays in the summary. ValueError
    when the analysis is of another file.
    """
    if (analysis.lines, analysis.size_bytes, analysis.step) != (
        prepared.lines,
        prepared.size,
        prepared.offset_step,
    ) or len(analysis.times) != len(prepared.offsets):
        raise ValueError(
            f"the analysis is of {analysis.lines} lines, the prepared file has {prepared.lines} lines"
        )
    metadata = prepared.metadata
    source = prepared.summary.get("estimate_source")
    summary = {
        **prepared.summary,
        "analysis": analysis.summary(),
        "time_source": "model",
        "estimate_source": "model",
        "slicer_estimate_s": metadata.estimate_s if source == "slicer" else None,
    }
    layers = prepared.layers or tuple(Layer(line, z_mm) for line, z_mm in analysis.layers)
    if layers and "height_mm" not in summary:
        summary["height_mm"] = max(layer.z_mm for layer in layers)
    filament_mm = sum(analysis.filament_mm.values()) or None
    return replace(
        prepared,
        times=analysis.times,
        layers=layers,
        metadata=replace(
            metadata,
            estimate_s=analysis.seconds or metadata.estimate_s,
            filament_mm=metadata.filament_mm or filament_mm,
        ),
        summary=summary,
    )
