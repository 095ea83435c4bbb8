"""How long the print takes up to each line: from the slicer's own marks where it wrote some, else from the moves."""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum

from agent.gcode.move_model import MoveModel

_MAX_MARKS = 200_000
_MARK_EVERY_LINES = 200


class TimeSource(StrEnum):
    """Where the times come from, best first."""

    M73 = "m73"
    ELAPSED = "elapsed"
    MODEL = "model"


class Timeline:
    """Collects (line, seconds) marks of one source and reads times between them by interpolation."""

    def __init__(self, source: TimeSource, model: MoveModel) -> None:
        self.source = source
        self._marks = Marks()
        self._percents = Marks()
        self._first_remaining_s: float | None = None
        self._model = model

    def remaining(self, line: int, percent: float | None, remaining_s: float | None) -> None:
        """Take an M73 that stands at prepared line `line`: P in percent, R as seconds."""
        if self.source is not TimeSource.M73:
            return
        if percent is not None:
            self._percents.add(line, percent)
        if remaining_s is not None:
            if self._first_remaining_s is None:
                self._first_remaining_s = remaining_s
            self._marks.add(line, self._first_remaining_s - remaining_s)

    def elapsed(self, line: int, seconds: float) -> None:
        """Take a TIME_ELAPSED comment that stands before prepared line `line`."""
        if self.source is TimeSource.ELAPSED:
            self._marks.add(line, seconds)

    def run(self, text: bytes, next_line: int) -> None:
        """Take motion lines that end before prepared line `next_line`."""
        if self.source is TimeSource.MODEL:
            self._model.run(text)
            if next_line >= self._marks.last_line + _MARK_EVERY_LINES:
                self._marks.add(next_line, self._model.seconds)

    def wait(self, seconds: float) -> None:
        """Take a dwell."""
        self._model.seconds += seconds

    def total_s(self, estimate_s: float | None) -> float | None:
        """Return the slicer's estimate, else what the marks say; None when they say nothing."""
        if estimate_s:
            return estimate_s
        if self.source is TimeSource.M73:
            return self._first_remaining_s or None
        return max(self._marks.last_value, self._model.seconds) or None

    def times(self, grid: list[int], lines: int, total_s: float) -> tuple[float, ...]:
        """Return the seconds at each line of `grid`: never falling, scaled so that the end is `total_s`."""
        marks, end = self._marks, max(self._marks.last_value, self._model.seconds)
        if self.source is TimeSource.M73:
            # Percents are finer than minutes up to 100 minutes.
            if total_s < 6000:
                marks, end = self._percents, 100.0
            else:
                end = self._first_remaining_s or marks.last_value
        return marks.times(grid, lines, end, total_s)


class Marks:
    """Lines at which a figure is known, kept where it rises."""

    def __init__(self) -> None:
        self._lines = [0]
        self._values = [0.0]

    @property
    def last_line(self) -> int:
        """The line of the newest mark."""
        return self._lines[-1]

    @property
    def last_value(self) -> float:
        """The largest figure so far."""
        return self._values[-1]

    def add(self, line: int, value: float) -> None:
        """Add a mark; one that does not rise, or is one too many, is left out."""
        if line > self._lines[-1] and value > self._values[-1] and len(self._lines) < _MAX_MARKS:
            self._lines.append(line)
            self._values.append(value)

    def times(self, grid: list[int], lines: int, end: float, total_s: float) -> tuple[float, ...]:
        """Return the seconds at each line of `grid` when the figure is `end` at the end, after `total_s`."""
        end = end or 1.0
        xs, ys = list(self._lines), list(self._values)
        # A figure that says "done" before the last line was rounded; the last line is the end.
        while len(xs) > 1 and (ys[-1] >= end or xs[-1] > lines):
            xs.pop()
            ys.pop()
        xs.append(lines + 1)
        ys.append(end)
        return tuple(total_s / end * _between(xs, ys, line) for line in grid)


def _between(xs: list[int], ys: list[float], at: int) -> float:
    index = bisect_right(xs, at)
    if index >= len(xs):
        return ys[-1]
    left, right = xs[index - 1], xs[index]
    return ys[index - 1] + (ys[index] - ys[index - 1]) * (at - left) / (right - left)
