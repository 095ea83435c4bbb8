"""Seconds for absolute moves, for files whose slicer left no marks of time in them."""

from __future__ import annotations

import math
import re
from operator import sub
from typing import Protocol

from agent.domain.profile import PrinterProfile

_MOVE = re.compile(
    rb"G[0-3](?: F(\S+))?(?: X(\S+))?(?: Y(\S+))?(?: Z(\S+))?(?: I\S+)?(?: J\S+)?(?: E(\S+))?(?: F(\S+))?\n"
)
_XY = re.compile(rb" X(\S+) Y(\S+)")
_FEEDRATE = re.compile(rb" F(\d+(?:\.\d*)?)")
_DEFAULT_FEEDRATE_MM_MIN = 1500.0  # Marlin's value before the first F
_DEFAULT_ACCELERATION_MM_S2 = 1000.0
_CORNER_S = 0.004  # what one corner of a printed line costs on average


class MoveModel(Protocol):
    """Adds up `seconds` over runs of canonical motion lines."""

    seconds: float

    def run(self, text: bytes) -> None:
        """Add the moves of a run."""


class NoModel:
    """Times nothing: for a gate whose result is analysed afterwards."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, text: bytes) -> None:
        """Take a run of lines; nothing is added."""


class ShapeModel:
    """Distance over speed only: enough where the slicer's own total gives the scale, and fast."""

    def __init__(self, profile: PrinterProfile) -> None:
        self.seconds = 0.0
        self._top_mm_s = profile.max_speed_mm_s.get("x", 1000.0)
        self._speed = _DEFAULT_FEEDRATE_MM_MIN / 60
        self._x, self._y = 0.0, 0.0

    def run(self, text: bytes) -> None:
        """Add the moves of a run, stretch by stretch of equal feedrate."""
        at = 0
        for found in _FEEDRATE.finditer(text):
            start = text.rfind(b"\n", 0, found.start()) + 1
            self._stretch(text, at, start)
            at = start
            self._speed = min(float(found[1]) / 60, self._top_mm_s) or self._speed
        self._stretch(text, at, len(text))

    def _stretch(self, text: bytes, start: int, end: int) -> None:
        pairs = _XY.findall(text, start, end)
        if not pairs:
            return
        xs = [self._x, *(float(x) for x, _ in pairs)]
        ys = [self._y, *(float(y) for _, y in pairs)]
        self._x, self._y = xs[-1], ys[-1]
        distance = sum(map(math.hypot, map(sub, xs[1:], xs), map(sub, ys[1:], ys)))
        self.seconds += distance / self._speed + _CORNER_S * len(pairs)


class CornerModel:
    """Distance over speed plus what braking for each corner costs; without look-ahead, so 10 to 20 % off."""

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
