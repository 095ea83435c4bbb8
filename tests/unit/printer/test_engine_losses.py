"""The line engine when replies are lost, doubled, damaged or nonsense."""

from __future__ import annotations

from agent.printer.dialects import by_name
from agent.printer.engine_events import (
    StreamDone,
    Verdict,
)
from tests.unit.printer.engine_bench import BASE, PROBE, Bench


def test_a_lost_ok_in_ping_pong_costs_less_than_a_second() -> None:
    bench = Bench(lines=1)
    bench.moves(2)
    bench.sent()
    began = bench.now
    bench.until_asking()
    bench.refuse(BASE + 1)
    bench.quiet()
    bench.sent()
    assert bench.engine.window.sent == 2
    assert bench.now - began < 0.5


def test_the_very_last_line_lost_is_sent_again() -> None:
    bench = Bench()
    bench.moves(3)
    bench.engine.finish()
    bench.sent()
    bench.hear("ok", "ok")
    bench.until_asking()
    bench.refuse(BASE + 2)
    bench.quiet()
    assert bench.lines_sent() == [3]
    bench.hear("ok")
    bench.until_asking()
    bench.refuse(BASE + 3)
    bench.sent()
    assert bench.happened(StreamDone) == [StreamDone(3, BASE + 3)]


def test_a_duplicate_met_with_silence_is_not_sent_again() -> None:
    bench = Bench(lines=1)
    bench.moves(3)
    bench.sent()
    bench.refuse(BASE)  # a refusal that was on its way since before: line 1 is accepted in truth
    assert bench.lines_sent() == [1]
    bench.until_asking()
    bench.refuse(BASE + 1)
    bench.quiet()
    assert bench.lines_sent() == [2]


def test_doubled_oks_are_noticed_and_checked() -> None:
    bench = Bench(lines=1)
    bench.moves(60)
    probes = 0
    for _ in range(60):
        data = bench.sent()
        if PROBE in data:
            probes += 1
            bench.refuse(BASE + bench.engine.window.sent)
        else:
            bench.hear("ok", "ok")
    assert probes >= 1


def test_a_garbled_ok_shortens_the_patience() -> None:
    bench = Bench(lines=1)
    bench.moves(60)
    for _ in range(20):
        bench.sent()
        bench.hear("ok", after_s=0.01)
    bench.sent()
    bench.hear("o{")
    began = bench.now
    bench.until_asking()
    assert bench.now - began <= 0.15


def test_glued_lines_are_told_apart() -> None:
    bench = Bench()
    bench.moves(3)
    bench.sent()
    bench.hear("T:21.97 /0.00 B:21.97 /0.00 @:0 B@:0ok")
    assert bench.engine.window.acked == 1


def test_a_hundred_kilobytes_without_a_line_end_are_noise() -> None:
    bench = Bench()
    bench.moves(2)
    bench.sent()
    for _ in range(100):
        bench.hear(b"\xff" * 1024)
    assert bench.engine.garbled >= 1
    bench.hear(b"\nok\nok\n")
    assert bench.engine.window.acked == 2


def test_wait_of_an_idle_firmware_means_that_an_ok_was_lost() -> None:
    bench = Bench()
    bench.moves(2)
    bench.sent()
    bench.hear("ok", "wait")
    assert bench.sent() == PROBE


def test_wait_of_a_busy_clone_keeps_patience() -> None:
    cbd = by_name("cbd")
    assert cbd is not None
    bench = Bench(cbd)
    bench.push(b"G28")
    assert bench.sent() == b"G28\n"
    for _ in range(30):
        bench.hear("wait", after_s=2.0)
        bench.engine.on_deadline(bench.now)
        assert bench.sent() == b""
    bench.hear("ok")
    assert bench.engine.window.acked == 1


def test_a_firmware_that_only_talks_nonsense_is_given_up() -> None:
    bench = Bench()
    bench.moves(2)
    bench.sent()
    for _ in range(3000):
        bench.quiet()
        bench.sent()
        bench.hear("Cap:EEPROM:1", after_s=0.2)
        if bench.fell():
            break
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.UNCERTAIN
