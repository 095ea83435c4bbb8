"""How numbers, times and foreign text read on a terminal. Pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

HEATERS = {"T": "nozzle", "T0": "nozzle", "B": "bed", "C": "chamber"}


def printable(text: object) -> str:
    """Make foreign text safe: control characters, also those that move the cursor, become `?`."""
    return "".join(char if char.isprintable() else "?" for char in str(text))


def duration(seconds: float | None) -> str:
    """Write 42 as `42 s`, 3900 as `1 h 05 min`; unknown as `-`."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def size(size_bytes: float) -> str:
    """Write 1536 as `1.5 kB` (steps of 1000)."""
    value, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def moment(t_ms: int | None) -> str:
    """Write a Unix time in milliseconds as local date and minute; unknown as `-`."""
    return "-" if t_ms is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(t_ms / 1000))


def clock(t_ms: float) -> str:
    """Write a Unix time in milliseconds as local hour and minute."""
    return time.strftime("%H:%M", time.localtime(t_ms / 1000))


def clock_s(t_ms: float) -> str:
    """Write a Unix time in milliseconds as local time with seconds."""
    return time.strftime("%H:%M:%S", time.localtime(t_ms / 1000))


def percent(fraction: float) -> str:
    """Write 0.999 as `99 %`: never 100 % before the end."""
    return f"{int(max(0.0, min(1.0, fraction)) * 100)} %"


def celsius(value: float) -> str:
    """Write a temperature with one decimal."""
    return f"{value:.1f}"


def heater_name(key: str) -> str:
    """Say `nozzle`, `bed`, `chamber`; further nozzles are numbered."""
    return HEATERS.get(key, f"nozzle {key[1:]}" if key.startswith("T") else key)


REASONS = {
    "user": "asked for by a person",
    "hold_requested": "held by a person: `fabunit job release`",
    "coordinator": "asked for by the coordinator",
    "emergency_stop": "emergency stop",
}
"""Reasons that come without a sentence of the daemon's own."""


def reason_words(reason: str | None) -> str:
    """Write a machine-readable reason for people; nothing for none."""
    return "" if reason is None else REASONS.get(reason, printable(reason.replace("_", " ")))


def copies(job: dict[str, Any]) -> str:
    """Write how many copies are done, nothing for a single one."""
    return f"{job['copies_done']}/{job['copies']}" if job["copies"] > 1 else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out columns by their widest cell, two blanks between."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Lay out name and value; pairs without a value are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown)
