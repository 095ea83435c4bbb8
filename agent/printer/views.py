"""The printer as others see it: health of the line, warnings, transcript entries. Pure."""

from __future__ import annotations

from agent.domain.printer import Direction, PortHealth, PrinterSnapshot, PrinterState, TranscriptEntry
from agent.printer.engine import LineEngine
from agent.printer.link import PrinterLink
from agent.printer.tracker import Tracked
from agent.printer.transcript import TranscriptEntry as WireLine

_DIRECTIONS = {">": Direction.SENT, "<": Direction.RECEIVED, "!": Direction.NOTE}


def health(engine: LineEngine | None, reconnects: int) -> PortHealth:
    """The counters of a connection; zeroes without one."""
    if engine is None:
        return PortHealth(reconnects=reconnects)
    latency = engine.pace.latency
    return PortHealth(
        lines_sent=engine.window.sent,
        lines_acked=engine.window.acked,
        resends=engine.resends,
        timeouts=engine.timeouts,
        garbled=engine.garbled,
        ok_p50_ms=round(latency.percentile_s(0.5) * 1000, 3),
        ok_p99_ms=round(latency.percentile_s(0.99) * 1000, 3),
        reconnects=reconnects,
    )


def snapshot(link: PrinterLink | None, tracked: Tracked, state: PrinterState, detail: str) -> PrinterSnapshot:
    """The printer at a glance; port, health and progress are for the caller to add."""
    if state is PrinterState.ATTENTION:
        detail = tracked.prompt.text if tracked.prompt else "the printer waits for a person"
    if link is None:
        return PrinterSnapshot(state, detail, position=tracked.position, message=tracked.message)
    return PrinterSnapshot(
        state=state,
        detail=detail,
        port_id=link.port_id,
        baud=link.baud,
        dialect=link.identity.dialect.name,
        firmware=link.identity.firmware,
        temperatures=tracked.temperatures,
        position=tracked.position,
        prompt=tracked.prompt,
        message=tracked.message,
    )


def entry(line: WireLine, wall_ms: int) -> TranscriptEntry:
    """A transcript line for people; `wall_ms` is the Unix time of monotonic zero in milliseconds."""
    return TranscriptEntry(wall_ms + int(line.t_s * 1000), _DIRECTIONS[line.direction], line.text)
