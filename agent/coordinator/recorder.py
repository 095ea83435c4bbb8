"""The recorder: one look at the printer a second becomes a block a minute. Pure but for the values it is given."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent.domain.events import Stamp
from agent.domain.printer import PrinterSnapshot, PrinterState
from agent.domain.telemetry import BLOCK_S, BlockBuilder, TelemetryBlock

# A cold, idle printer has nothing to tell; a block now and then shows that it was watched.
IDLE_BLOCK_S = 900.0
_WARM_C = 45.0
_AWAY = frozenset({PrinterState.OFFLINE, PrinterState.CONNECTING})


class Recorder:
    """Collects samples; `sample` returns a block when one is complete."""

    def __init__(self, block_s: float = BLOCK_S) -> None:
        self.block_s = block_s
        self._builder: BlockBuilder | None = None
        self._since_ms = 0
        self._is_busy = False

    def sample(
        self,
        seen: PrinterSnapshot,
        job_id: str | None,
        stamp: Stamp,
        host: Mapping[str, float] = MappingProxyType({}),
    ) -> TelemetryBlock | None:
        """Take one look; `host` are figures of the machine. A printer that is away ends the block that was begun."""
        if seen.state in _AWAY:
            return self.flush(stamp)
        block = None
        is_busy = _is_busy(seen)
        if is_busy and not self._is_busy:
            # What happens now belongs to a short block, not to the long idle one.
            block = self.flush(stamp)
        self._is_busy = is_busy
        if self._builder is None:
            self._builder, self._since_ms = BlockBuilder(stamp.t_ms, stamp.mono_ms), stamp.mono_ms
        self._builder.add({**_values(seen), **host}, _words(seen, job_id))
        span_s = self.block_s if is_busy else max(IDLE_BLOCK_S, self.block_s)
        if stamp.mono_ms - self._since_ms >= (span_s - 0.5) * 1000:
            block = self.flush(stamp)
        return block

    def flush(self, stamp: Stamp) -> TelemetryBlock | None:
        """End the block that was begun, if there is one."""
        builder, self._builder = self._builder, None
        return None if builder is None else builder.block((stamp.mono_ms - self._since_ms) / 1000)


def _is_busy(seen: PrinterSnapshot) -> bool:
    return seen.state is not PrinterState.IDLE or any(
        heater.target > 0 or heater.actual > _WARM_C for heater in seen.temperatures.values()
    )


def _values(seen: PrinterSnapshot) -> dict[str, float]:
    values = {name: heater.actual for name, heater in seen.temperatures.items()}
    values |= {f"{name}.target": heater.target for name, heater in seen.temperatures.items() if heater.target}
    if seen.progress is not None:
        values["fraction"] = round(seen.progress.fraction, 5)
        if seen.progress.z_mm is not None:
            values["z_mm"] = seen.progress.z_mm
        if seen.progress.layer is not None:
            values["layer"] = float(seen.progress.layer)
    return values


def _words(seen: PrinterSnapshot, job_id: str | None) -> dict[str, str]:
    words = {"state": seen.state.value}
    if seen.progress is not None:
        words["print"] = seen.progress.print_id
        if job_id is not None:
            words["job"] = job_id
    return words
