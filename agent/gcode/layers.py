"""Where layers begin: from the slicer's comments, or from the heights at which it extrudes."""

from __future__ import annotations

import re

from agent.domain.artefact import Layer
from agent.gcode.motion import first_extrusion

MAX_LAYERS = 20_000  # 250 mm at 0.0125 mm; more is not a print
_LEAST_STEP_MM = 0.04  # spiral vases climb on every line: count a layer when it is one
_HEIGHT = re.compile(rb" Z(\d{1,4}(?:\.\d{0,6})?|\.\d{1,6})")


class LayerIndex:
    """Collects layers; `layers` is in file order. Line numbers are those of the prepared file, 1-based."""

    def __init__(self) -> None:
        self._marked: list[Layer] = []
        self._by_height: list[Layer] = []
        self._pending_line: int | None = None
        self._candidate: tuple[int, float] | None = None
        self._uses_marks = False
        self._height: float | None = None  # at the end of the last run, once marks are used

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of the comments if there are any, else those found by height."""
        return tuple(self._marked if self._uses_marks else self._by_height)

    def mark(self, next_line: int, z_mm: float | None) -> None:
        """Take a layer comment that stands before prepared line `next_line`; the height may follow later."""
        self._uses_marks = True
        self._by_height.clear()
        if self._marked and self._marked[-1].line == next_line:
            self._marked.pop()
        if len(self._marked) >= MAX_LAYERS:
            return
        if z_mm is not None:
            self._marked.append(Layer(next_line, z_mm))
            self._pending_line = None
        else:
            self._pending_line = next_line

    def run(self, text: bytes, first_line: int, z_before: float | None) -> None:
        """Take a run of plain lines that begins at prepared line `first_line`, at height `z_before`."""
        if self._pending_line is not None:
            self._place_pending(text, self._height if z_before is None else z_before)
        if self._uses_marks:
            # The move to a layer's height and its first extrusion may stand in different runs.
            at = text.rfind(b" Z")
            found = _HEIGHT.match(text, at) if at >= 0 else None
            self._height = float(found[1]) if found else self._height
        elif b" Z" in text or self._candidate:
            self._scan_heights(text, first_line)

    def _place_pending(self, text: bytes, z_before: float | None) -> None:
        """Give a marked layer the height at which it first extrudes: hops before that do not count."""
        at = first_extrusion(text)
        if at < 0:
            return
        heights: list[bytes] = _HEIGHT.findall(text, 0, _line_end(text, at))
        z_mm = float(heights[-1]) if heights else z_before
        if z_mm is not None and self._pending_line is not None:
            self._marked.append(Layer(self._pending_line, z_mm))
        self._pending_line = None

    def _scan_heights(self, text: bytes, first_line: int) -> None:
        at, line = 0, first_line
        for found in _HEIGHT.finditer(text):
            start = text.rfind(b"\n", 0, found.start()) + 1
            self._accept_candidate(text, at, start)
            line += text.count(b"\n", at, start)
            at = start
            self._candidate = (line, float(found[1]))
        self._accept_candidate(text, at, len(text))

    def _accept_candidate(self, text: bytes, start: int, end: int) -> None:
        if self._candidate is None or first_extrusion(text, start, end) < 0:
            return
        line, z_mm = self._candidate
        self._candidate = None
        last = self._by_height[-1].z_mm if self._by_height else 0.0
        if z_mm >= last + _LEAST_STEP_MM and len(self._by_height) < MAX_LAYERS:
            self._by_height.append(Layer(line, z_mm))


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end
