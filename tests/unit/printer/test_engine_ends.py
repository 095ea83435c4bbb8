"""The line engine when the conversation is over: resets, halts, silence; and what only looks like it."""

from __future__ import annotations

import pytest

from agent.printer.dialects import by_name
from agent.printer.engine import Mode
from agent.printer.engine_events import (
    Failed,
    Reported,
    Verdict,
)
from agent.printer.replies import Busy
from tests.unit.printer.engine_bench import BASE, PROBE, Bench


def test_start_in_the_middle_of_a_print_is_final() -> None:
    bench = Bench()
    bench.moves(8)
    bench.sent()
    bench.hear("ok", "start", "PowerUp", "Marlin 2.1.2")
    for _ in range(3):
        bench.until_asking()
        bench.refuse(0)
        if bench.engine.mode is not Mode.DEAD:
            bench.quiet()
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.RESET
    bench.push(b"G1 X1")
    bench.engine.poll()
    bench.engine.urgent(b"M108\n")
    bench.engine.open(BASE, 0, bench.now)
    bench.engine.adopt(BASE, 0, bench.now)
    bench.refuse(0)
    assert bench.sent() == b""
    assert bench.engine.deadline() is None


def test_last_line_zero_is_final_even_without_a_greeting() -> None:
    bench = Bench()
    bench.moves(8)
    bench.sent()
    for _ in range(3):
        bench.refuse(0)
        if bench.engine.mode is not Mode.DEAD:
            bench.quiet()
            bench.sent()
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.RESET
    assert fell.line == 0


def test_a_greeting_made_of_noise_costs_one_question() -> None:
    bench = Bench()
    bench.moves(8)
    bench.sent()
    bench.hear("start")
    assert bench.sent() == PROBE
    bench.refuse(BASE + 4)
    bench.hear("ok", "ok", "ok", "ok")
    bench.quiet()
    assert bench.fell() is None
    assert bench.lines_sent() == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "line",
    [
        "Error:Printer halted. kill() called!",
        "Error:Thermal Runaway, system stopped! Heater_ID: 0",
        "!! Lost communication with MCU 'mcu'",
        "fatal:Heater decoupled - Printer stopped and heaters disabled due to this error.",
    ],
)
def test_a_halt_ends_the_conversation(line: str) -> None:
    bench = Bench()
    bench.moves(8)
    bench.sent()
    bench.hear(line)
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.HALTED
    bench.hear("ok", "ok")
    assert bench.sent() == b""


def test_halting_from_our_side_is_reported_once() -> None:
    bench = Bench()
    bench.moves(8)
    bench.sent()
    bench.engine.halt("emergency stop")
    bench.engine.halt("again")
    bench.hear("Error:Printer halted. kill() called!")
    assert bench.happened(Failed) == [Failed(Verdict.HALTED, "emergency stop", 0)]


@pytest.mark.parametrize(("talks", "dead_s"), [(True, 15.0), (False, 180.0)])
def test_silence_is_fatal_only_after_the_dead_time(talks: bool, dead_s: float) -> None:
    bench = Bench()
    if talks:
        bench.hear(" T:21.97 /0.00 B:21.97 /0.00 @:0 B@:0")
    bench.moves(4)
    bench.sent()
    began = bench.now
    probes = 0
    while bench.fell() is None:
        bench.quiet()
        probes += bench.sent().count(PROBE)
        assert bench.now - began < dead_s * 1.5
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.SILENT
    assert dead_s <= bench.now - began <= dead_s * 1.3
    assert probes <= 12  # they would fill the receive ring of a board that cannot read


def test_busy_keeps_patience() -> None:
    bench = Bench()
    bench.push(b"G28", barrier=True)
    bench.sent()
    for _ in range(100):
        bench.hear("echo:busy: processing", after_s=2.0)
        bench.engine.on_deadline(bench.now)
        assert bench.sent() == b""
    assert isinstance(bench.happened(Reported)[0].reply, Busy)  # type: ignore[union-attr]
    bench.hear("ok")
    assert bench.engine.timeouts == 0


def test_a_blocking_command_without_keepalive_is_waited_for() -> None:
    dialect = by_name("marlin_1")
    assert dialect is not None
    bench = Bench(dialect)
    bench.push(b"G28", barrier=True)
    bench.moves(1)
    bench.sent()
    for _ in range(5):
        bench.until_asking()
        bench.refuse(BASE + 1)
        if bench.engine.mode is not Mode.FLOW:
            bench.quiet()
        assert bench.lines_sent() == []
    bench.hear("ok")
    assert bench.lines_sent() == [2]


def test_the_lost_ok_of_a_blocking_command_is_found_out() -> None:
    bench = Bench()
    bench.push(b"G28", barrier=True)
    bench.moves(1)
    bench.sent()
    began = bench.now
    bench.until_asking()
    assert bench.now - began == pytest.approx(2.3)
    bench.refuse(BASE + 1)
    bench.quiet()
    assert bench.lines_sent() == [2]
