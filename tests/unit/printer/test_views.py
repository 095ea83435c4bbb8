"""The printer as others see it."""

from __future__ import annotations

from agent.domain.printer import Direction, PortHealth
from agent.printer import views
from agent.printer.dialects import MARLIN_2
from agent.printer.engine import LineEngine
from agent.printer.framing import build_chunk
from agent.printer.transcript import TranscriptEntry
from agent.printer.window import WindowSize


def test_no_connection_has_no_counters() -> None:
    assert views.health(None, 3) == PortHealth(reconnects=3)


def test_the_counters_of_a_connection() -> None:
    engine = LineEngine(MARLIN_2, WindowSize(4, 120))
    engine.adopt(100, 0, 0.0)
    engine.push(build_chunk(1, 100, [b"G1 X1", b"G1 X2", b"G1 X3"]))
    engine.outgoing(0.0)
    engine.feed(b"ok\nok\nok\n", 0.010)
    engine.feed(b"\xff\xff\n", 0.011)
    health = views.health(engine, 2)
    assert (health.lines_sent, health.lines_acked, health.garbled, health.reconnects) == (3, 3, 1, 2)
    assert 9 <= health.ok_p50_ms <= 11


def test_transcript_lines_get_their_wall_time() -> None:
    entry = views.entry(TranscriptEntry(2.5, "<", "ok"), 1_000_000)
    assert (entry.t_ms, entry.direction, entry.text) == (1_002_500, Direction.RECEIVED, "ok")
