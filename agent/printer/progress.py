"""How far a print is and how long it will take: the index of the analysed file, corrected by reality. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from agent.domain.artefact import Prepared
from agent.domain.printer import PrintProgress
from agent.gcode.eta import Eta, Remaining


@dataclass(slots=True)
class ProgressMeter:
    """Progress of one print. `tick` is called about once a second with the last acknowledged line."""

    prepared: Prepared
    print_id: str
    started_at: float
    first_line: int = 0
    _active_s: float = 0.0
    _last_line: int = -1
    _last_tick: float | None = None
    _eta: Eta = field(default_factory=Eta)

    def tick(self, line: int, now: float, *, moving: bool) -> PrintProgress:
        """The progress at `line`; `moving` is false while paused, heating or homing (that time says nothing)."""
        at_s = self.estimated_s(line)
        if self._last_tick is not None and moving and line > self._last_line:
            self._active_s += now - self._last_tick
            self._eta.observe(at_s - self.estimated_s(self._last_line), now - self._last_tick)
        if line != self._last_line or not moving:
            self._last_line, self._last_tick = line, now
        prepared = self.prepared
        left = self._remaining(line, at_s)
        layer = bisect_right([layer.line for layer in prepared.layers], line)
        return PrintProgress(
            print_id=self.print_id,
            line=line,
            lines=prepared.lines,
            byte=self._byte(line),
            bytes=prepared.size,
            layer=layer if prepared.layers else None,
            layers=len(prepared.layers) or None,
            z_mm=prepared.layers[layer - 1].z_mm if layer else None,
            elapsed_s=now - self.started_at,
            remaining_s=left.seconds if left else None,
            fraction=self._fraction(line, at_s),
            plus_minus_s=left.plus_minus_s if left and self._total_s() > 0 else None,
        )

    def estimated_s(self, line: int) -> float:
        """The estimated time of everything up to `line`, in seconds, interpolated between the grid points."""
        times, step = self.prepared.times, self.prepared.offset_step
        if not times or line <= 0:
            return 0.0
        if line >= self.prepared.lines:
            return self._total_s()
        mark = min(line // step, len(times) - 1)
        begin = times[mark]
        last = mark + 1 >= len(times)
        end = self._total_s() if last else times[mark + 1]
        width = (self.prepared.lines - mark * step) if last else step
        return begin + (end - begin) * min(1.0, (line - mark * step) / max(1, width))

    def _total_s(self) -> float:
        estimate = self.prepared.metadata.estimate_s
        return estimate or (self.prepared.times[-1] if self.prepared.times else 0.0)

    def _remaining(self, line: int, at_s: float) -> Remaining | None:
        total = self._total_s()
        if total > 0:
            return self._eta.remaining(total, at_s)
        done = line - self.first_line
        if done < 1 or self._active_s <= 0:
            return None
        return Remaining((self.prepared.lines - line) * self._active_s / done, 0.0)

    def _fraction(self, line: int, at_s: float) -> float:
        if line >= self.prepared.lines:
            return 1.0
        total = self._total_s()
        share = at_s / total if total > 0 else line / max(1, self.prepared.lines)
        return min(1.0, max(0.0, share))

    def _byte(self, line: int) -> int:
        prepared = self.prepared
        if line >= prepared.lines or not prepared.offsets:
            return prepared.size if line >= prepared.lines else 0
        mark = min(line // prepared.offset_step, len(prepared.offsets) - 1)
        begin = prepared.offsets[mark]
        last = mark + 1 >= len(prepared.offsets)
        end = prepared.size if last else prepared.offsets[mark + 1]
        width = (prepared.lines - mark * prepared.offset_step) if last else prepared.offset_step
        return begin + int((end - begin) * min(1.0, (line - mark * prepared.offset_step) / max(1, width)))
