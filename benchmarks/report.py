"""Tables of a measurement: Markdown for people, rows for programs, and how busy the machine was beside it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

Value = str | float | int | bool | None
Row = dict[str, Value]

SAMPLE_S = 0.5
"""Long enough for 50 of the kernel's ticks."""


@dataclass(slots=True)
class Table:
    """One group of rows. `columns`: key in the row, heading, format."""

    title: str
    columns: list[tuple[str, str, str]]
    note: str = ""
    rows: list[Row] = field(default_factory=list)

    def add(self, **values: Value) -> None:
        """Append a row and say on the terminal that it is there."""
        self.rows.append(values)

    def markdown(self) -> str:
        """The table with its title and note."""
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines.append(_cells(heading for _, heading, _ in self.columns))
        lines.append("|---" * len(self.columns) + "|")
        lines += [_cells(cell(row.get(key), form) for key, _, form in self.columns) for row in self.rows]
        return "\n".join(lines)


def cell(value: Value, form: str) -> str:
    """One value for a table: `form` is a format specification for numbers; None is a hyphen."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else format(value, form)


def _cells(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def machine() -> str:
    """The machine in one line."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or "unknown processor",
    )
    return (
        f"{platform.machine()}, {os.cpu_count()} cores ({model}), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def load_average() -> str:
    """The kernel's load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def busy_cores(sample_s: float = SAMPLE_S, sleep: Callable[[float], None] = time.sleep) -> float:
    """Cores kept busy by whatever runs now, measured for a moment."""
    ticks, began = _busy_ticks(), time.monotonic()
    sleep(sample_s)
    return (_busy_ticks() - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)


def _busy_ticks() -> int:
    values = [int(word) for word in _lines("/proc/stat")[0].split()[1:9]]
    return sum(values) - values[3] - values[4]  # without idle and waiting for input


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
