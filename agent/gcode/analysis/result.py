"""The result of an analysis as plain values: numpy-free, so that the daemon can hold it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one file does.

    `seconds`: motion and dwells, without heating and homing. `times[k]`: the same up to line `k · step + 1` (1-based).
    `printed_box`, `travelled_box`: lowest and highest corner in mm, of extruding moves and of all. `filament_mm` by
    tool number. `layers`: first line and height of each.
    `dwell_s` is part of `seconds`; `waits` counts commands that wait for heat or a person, `homings` G28.
    """

    lines: int
    size_bytes: int
    seconds: float
    dwell_s: float
    step: int
    times: tuple[float, ...]
    printed_box: tuple[Point, Point] | None
    travelled_box: tuple[Point, Point] | None
    filament_mm: dict[int, float]
    layers: tuple[tuple[int, float], ...]
    moves: int
    arcs: int
    retractions: int
    printed_mm: float
    travelled_mm: float
    waits: int = 0
    homings: int = 0
    tool_changes: int = 0
    rule: str = ""
    commands: dict[str, int] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return what belongs into reports: everything but the long lists."""
        return {
            "model_s": round(self.seconds, 1),
            "dwell_s": round(self.dwell_s, 1),
            "corner_rule": self.rule,
            "printed_box_mm": self.printed_box,
            "travelled_box_mm": self.travelled_box,
            "filament_mm": {f"T{tool}": length for tool, length in self.filament_mm.items()},
            "height_layers": len(self.layers),
            "moves": self.moves,
            "arcs": self.arcs,
            "retractions": self.retractions,
            "printed_m": round(self.printed_mm / 1000, 2),
            "travelled_m": round(self.travelled_mm / 1000, 2),
            "waits": self.waits,
            "homings": self.homings,
            "tool_changes": self.tool_changes,
            "commands": self.commands,
        }
