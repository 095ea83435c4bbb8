"""How long the print takes up to each line: from the slicer's own marks where it wrote some, else from the moves."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from enum import StrEnum

from agent.domain.profile import PrinterProfile

_MAX_MARKS = 200_000
_MARK_EVERY_LINES = 200
_MOVE = re.compile(
    rb"G[0-3](?: F(\S+))?(?: X(\S+))?(?: Y(\S+))?(?: Z(\S+))?(?: I\S+)?(?: J\S+)?(?: E(\S+))?(?: F(\S+))?\n"
)
_DEFAULT_FEEDRATE_MM_MIN = 1500.0  # Marlin's value before the first F
_DEFAULT_ACCELERATION_MM_S2 = 1000.0


class TimeSource(StrEnum):
    """Where the times come from, best first."""

    M73 = "m73"
    ELAPSED = "elapsed"
    MODEL = "model"


class Timeline:
    """Collects (line, seconds) marks of one source and reads times between them by interpolation."""

    def __init__(self, source: TimeSource, profile: PrinterProfile) -> None:
        self.source = source
        self._lines: list[int] = []
        self._seconds: list[float] = []
        self._first_remaining_s: float | None = None
        self._model = MoveModel(profile)

    def remaining(self, line: int, seconds: float) -> None:
        """Take an M73 R that stands at prepared line `line`."""
        if self.source is TimeSource.M73:
            if self._first_remaining_s is None:
                self._first_remaining_s = seconds
            self._mark(line, self._first_remaining_s - seconds)

    def elapsed(self, line: int, seconds: float) -> None:
        """Take a TIME_ELAPSED comment that stands before prepared line `line`."""
        if self.source is TimeSource.ELAPSED:
            self._mark(line, seconds)

    def run(self, text: bytes, next_line: int) -> None:
        """Take motion lines that end before prepared line `next_line`."""
        if self.source is TimeSource.MODEL:
            self._model.run(text)
            if not self._lines or next_line >= self._lines[-1] + _MARK_EVERY_LINES:
                self._mark(next_line, self._model.seconds)

    def wait(self, seconds: float) -> None:
        """Take a dwell."""
        if self.source is TimeSource.MODEL:
            self._model.seconds += seconds

    def total_s(self, estimate_s: float | None) -> float | None:
        """Return the slicer's estimate, else what the marks say; None when they say nothing."""
        if estimate_s:
            return estimate_s
        if self.source is TimeSource.M73:
            return self._first_remaining_s or None
        return max(self._seconds, default=0.0) or None

    def times(self, grid: list[int], lines: int, total_s: float) -> tuple[float, ...]:
        """Return the seconds at each prepared line of `grid`, never falling, scaled so that the end is `total_s`."""
        xs, ys = [0], [0.0]
        for line, seconds in zip(self._lines, self._seconds, strict=True):
            if line > xs[-1] and seconds >= ys[-1]:
                xs.append(line)
                ys.append(seconds)
        remaining_s = self._first_remaining_s if self.source is TimeSource.M73 else None
        end = max(remaining_s or 0.0, ys[-1]) or 1.0
        if lines + 1 > xs[-1]:
            xs.append(lines + 1)
            ys.append(end)
        scale = total_s / end
        return tuple(min(total_s, scale * _between(xs, ys, line)) for line in grid)

    def _mark(self, line: int, seconds: float) -> None:
        if len(self._lines) < _MAX_MARKS:
            self._lines.append(line)
            self._seconds.append(seconds)


class MoveModel:
    """Seconds for absolute moves: distance over speed, plus what braking for corners costs.

    No look-ahead: good for the shape of the progress curve, 10 to 20 % off in total.
    """

    def __init__(self, profile: PrinterProfile) -> None:
        self.seconds = 0.0
        self._top_mm_s = profile.max_speed_mm_s.get("x", 1000.0)
        acceleration = profile.max_acceleration_mm_s2.get("x", _DEFAULT_ACCELERATION_MM_S2)
        self._acceleration = min(acceleration, _DEFAULT_ACCELERATION_MM_S2)
        self._feedrate = _DEFAULT_FEEDRATE_MM_MIN
        self._at = (0.0, 0.0, 0.0)
        self._e = 0.0
        self._direction = (0.0, 0.0)

    def run(self, text: bytes) -> None:
        """Add the moves of a run of canonical motion lines."""
        x0, y0, z0 = self._at
        ux, uy = self._direction
        speed = min(self._feedrate / 60, self._top_mm_s) or 1.0
        seconds, acceleration = 0.0, self._acceleration
        for f1, x, y, z, e, f2 in _MOVE.findall(text):
            if f1 or f2:
                self._feedrate = float(f2 or f1)
                speed = min(self._feedrate / 60, self._top_mm_s) or 1.0
            x1 = float(x) if x else x0
            y1 = float(y) if y else y0
            dx, dy = x1 - x0, y1 - y0
            distance = math.hypot(dx, dy)
            if distance:
                # (1 + cos) / 2 of the corner is the share of the speed that is kept through it.
                vx, vy = dx / distance, dy / distance
                lost = speed * (1.0 - ux * vx - uy * vy) / 2
                seconds += distance / speed + min(
                    lost * lost / (speed * acceleration), math.sqrt(distance / acceleration)
                )
                x0, y0, ux, uy = x1, y1, vx, vy
            elif z:
                seconds += abs(float(z) - z0) / speed
            elif e:
                seconds += min(abs(float(e)), 10.0) / speed if e.startswith(b"-") else 0.0
            if z:
                z0 = float(z)
        self.seconds += seconds
        self._at, self._direction = (x0, y0, z0), (ux, uy)


def _between(xs: list[int], ys: list[float], at: int) -> float:
    index = bisect_right(xs, at)
    if index >= len(xs):
        return ys[-1]
    left, right = xs[index - 1], xs[index]
    return ys[index - 1] + (ys[index] - ys[index - 1]) * (at - left) / (right - left)
