"""Temperature and position lines in the layout of each firmware family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.sim.dialects import ReportStyle

if TYPE_CHECKING:
    from agent.sim.heaters import Heater
    from agent.sim.motion import Motion


def temperatures(style: ReportStyle, hotend: Heater, bed: Heater, now: float) -> str:
    """The report without a leading `ok` or blank, e.g. "T:21.97 /0.00 B:21.97 /0.00 @:0 B@:0"."""
    t, b = hotend.reading(now), bed.reading(now)
    tt, bt = hotend.target, bed.target
    pt, pb = hotend.power(now), bed.power(now)
    if style is ReportStyle.MARLIN:
        text = f"T:{t:.2f} /{tt:.2f} B:{b:.2f} /{bt:.2f} @:{pt} B@:{pb}"
    elif style is ReportStyle.MARLIN_OLD:
        text = f"T:{t:.1f} /{tt:.1f} B:{b:.1f} /{bt:.1f} @:{pt} B@:{pb}"
    elif style is ReportStyle.PRUSA:
        text = f"T:{t:.1f} /{tt:.1f} B:{b:.1f} /{bt:.1f} T0:{t:.1f} /{tt:.1f} @:{pt} B@:{pb} P:0.0 A:42.8"
    elif style is ReportStyle.RRF:
        text = f"T:{t:.1f} /{tt:.1f} T0:{t:.1f} /{tt:.1f} B:{b:.1f} /{bt:.1f}"
    elif style is ReportStyle.REPETIER:
        text = f"T:{t:.2f} /{tt:.0f} B:{b:.2f} /{bt:.0f} B@:{2 * pb} @:{2 * pt}"
    elif style is ReportStyle.SMOOTHIE:
        text = f"T:{t:.1f} /{tt:.1f} @{2 * pt} B:{b:.1f} /{bt:.1f} @{2 * pb} "
    else:
        text = f"B:{b:.1f} /{bt:.1f} T0:{t:.1f} /{tt:.1f}"
    return text


def heating_wait(
    style: ReportStyle, report: str, hotend: Heater, now: float, left_s: int | None, *, bed: bool
) -> str:
    """A line printed by itself once a second while M109 or M190 waits. `left_s`: residency still to go, None = "?"."""
    left = "?" if left_s is None else str(left_s)
    if style is ReportStyle.MARLIN:
        return f" {report} W:{left}"
    if style in (ReportStyle.MARLIN_OLD, ReportStyle.PRUSA):
        if bed:
            return f"T:{hotend.reading(now):.2f} E:0 B:{report.partition(' B:')[2].partition(' ')[0]}"
        return f"T:{hotend.reading(now):.1f} E:0 W:{left}"
    return report


def auto_report(style: ReportStyle, report: str) -> str:
    """An M155 line: Marlin 2 puts a blank before it."""
    return f" {report}" if style is ReportStyle.MARLIN else report


def position(style: ReportStyle, motion: Motion, now: float, *, projected: bool = False) -> str:
    """The answer to M114. `projected`: count the steps of the last planned move, not those made by now."""
    x, y, z, e = motion.position
    if style in (ReportStyle.KLIPPER, ReportStyle.REPETIER):
        return f"X:{x:.3f} Y:{y:.3f} Z:{z:.3f} E:{e:.3f}"
    if style is ReportStyle.SMOOTHIE:
        return f"ok C: X:{x:.4f} Y:{y:.4f} Z:{z:.4f} E:{e:.4f}"
    if style is ReportStyle.PRUSA:
        ax, ay, az, ae = motion.actual(now)
        return f"X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X: {ax:.2f} Y:{ay:.2f} Z:{az:.2f} E:{ae:.2f}"
    cx, cy, cz = motion.steps(None if projected else now)
    if style is ReportStyle.RRF:
        return (
            f"X:{x:.3f} Y:{y:.3f} Z:{z:.3f} E:{e:.3f} E0:{e:.1f} Count {cx} {cy} {cz} "
            f"Machine {x:.3f} {y:.3f} {z:.3f} Bed comp 0.000"
        )
    return f"X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X:{cx} Y:{cy} Z:{cz}"
