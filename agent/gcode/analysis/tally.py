"""Sums over the moves of a whole file: boxes, filament by tool, layers by height, speeds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.gcode.analysis.path import Path
from agent.gcode.analysis.tokens import Floats, Integers

MAX_LAYERS = 20_000  # 250 mm at 0.0125 mm; more is not a print
_LEAST_STEP_MM = 0.04  # spiral vases climb on every line: count a layer when it is one
_MAX_TOOLS = 100

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(slots=True)
class Extent:
    """The box around points, growing; `box` is None while empty."""

    _low: Floats = field(default_factory=lambda: np.full(3, np.inf))
    _high: Floats = field(default_factory=lambda: np.full(3, -np.inf))

    def add(self, low: Floats, high: Floats) -> None:
        """Take the boxes of moves, shape (3, n) each."""
        if low.shape[1]:
            self._low = np.minimum(self._low, low.min(axis=1))
            self._high = np.maximum(self._high, high.max(axis=1))

    @property
    def box(self) -> Box | None:
        """Lowest and highest corner in mm."""
        if not np.isfinite(self._low).all():
            return None
        low, high = self._low.round(4).tolist(), self._high.round(4).tolist()
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])


@dataclass(slots=True)
class Filament:
    """What each tool pushes out: what is drawn back and pushed forward again counts once."""

    _at: dict[int, float] = field(default_factory=dict)
    _most: dict[int, float] = field(default_factory=dict)

    def add(self, tool: Integers, extruded: Floats) -> None:
        """Take the extruder's steps in mm of filament, with the tool of each."""
        if not len(tool):
            return
        numbers = [int(tool[0])] if (tool == tool[0]).all() else np.unique(tool).tolist()
        for number in numbers:
            if number not in self._at and len(self._at) >= _MAX_TOOLS:
                continue
            at = self._at.get(number, 0.0)
            reached = at + np.cumsum(extruded if len(numbers) == 1 else extruded[tool == number])
            self._most[number] = max(self._most.get(number, 0.0), float(reached.max(initial=0.0)))
            self._at[number] = float(reached[-1]) if len(reached) else at

    @property
    def used_mm(self) -> dict[int, float]:
        """Filament in mm by tool number."""
        return {tool: round(length, 2) for tool, length in sorted(self._most.items()) if length > 0}


@dataclass(slots=True)
class Heights:
    """Layers by the height at which something is extruded: (line, height in mm), rising."""

    found: list[tuple[int, float]] = field(default_factory=list)
    _top: float = 0.0

    def add(self, line: Integers, height: Floats) -> None:
        """Take the lines (0-based in the file) and heights of extruding moves, in order."""
        if not len(line) or len(self.found) >= MAX_LAYERS:
            return
        highest = np.maximum.accumulate(np.maximum(height, self._top))
        rises = np.flatnonzero(np.diff(highest, prepend=self._top) > 1e-6)
        for index in rises.tolist():
            z_mm = float(highest[index])
            if z_mm >= self._top + _LEAST_STEP_MM and len(self.found) < MAX_LAYERS:
                self.found.append((int(line[index]) + 1, round(z_mm, 4)))
                self._top = z_mm


class Tally:
    """All sums; `add` takes the path of a block that begins at file line `first_line` (0-based)."""

    def __init__(self) -> None:
        self.printed = Extent()
        self.travelled = Extent()
        self.filament = Filament()
        self.heights = Heights()
        self.moves = 0
        self.retractions = 0
        self.arcs = 0
        self.printed_mm = 0.0
        self.travelled_mm = 0.0

    def add(self, path: Path, first_line: int) -> None:
        """Take the moves of one block."""
        goes = path.goes
        prints = np.flatnonzero(path.across & (path.extruded > 0))
        self.printed.add(path.low.take(prints, axis=1), path.high.take(prints, axis=1))
        # Moves of the extruder alone stand where others have been.
        self.travelled.add(path.low, path.high)
        self.filament.add(path.tool, path.extruded)
        self.heights.add(path.line[prints] + first_line, path.high[2, prints])
        self.moves += len(path.line)
        self.retractions += int(np.count_nonzero((path.extruded < 0) & ~goes))
        self.arcs += int(np.count_nonzero(np.isfinite(path.moves.arc_limit)))
        printed_mm = float(path.moves.distance[prints].sum())
        self.printed_mm += printed_mm
        self.travelled_mm += float(path.moves.distance[goes].sum()) - printed_mm
