"""The line engine: opening sessions, and lines and oks in good order."""

from __future__ import annotations

from agent.printer import framing
from agent.printer.engine import Mode
from agent.printer.engine_events import (
    Reported,
    SessionOpened,
    StreamDone,
    Verdict,
)
from agent.printer.replies import TemperatureReport
from tests.unit.printer.engine_bench import BASE, PROBE, Bench


def test_opening_sets_the_number_and_believes_only_the_counter() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 7, bench.now)
    assert bench.sent() == b"\n" + framing.set_number(BASE + 7) + PROBE
    bench.hear("ok")
    assert bench.engine.mode is Mode.OPENING
    bench.refuse(BASE + 7)
    bench.quiet()
    assert bench.events == [SessionOpened(BASE + 7)]


def test_a_lost_m110_is_sent_again() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 0, bench.now)
    bench.sent()
    bench.refuse(4711)  # the M110 was damaged: the counter still stands where another program left it
    bench.quiet()
    assert bench.sent() == b"\n" + framing.set_number(BASE) + PROBE


def test_the_lost_ok_of_m110_costs_two_seconds_and_nothing_else() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 0, bench.now)
    began = bench.now
    bench.sent()
    bench.refuse(BASE, ok=False)
    while bench.engine.mode is Mode.OPENING:
        bench.quiet()
    assert bench.events == [SessionOpened(BASE)]
    assert bench.now - began < 2.5


def test_lines_wait_until_m110_was_executed_because_it_sets_the_number_again_then() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 0, bench.now)
    bench.sent()
    bench.refuse(BASE)  # the question was read; M110 still waits behind a long move
    for _ in range(20):
        bench.hear("echo:busy: processing", after_s=1.0)
        assert bench.sent() == b""
        assert bench.engine.mode is Mode.OPENING
    bench.hear("ok")
    bench.quiet()
    assert bench.happened(SessionOpened) == [SessionOpened(BASE)]


def test_a_firmware_that_takes_no_number_fails_at_the_opening() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 0, bench.now)
    for _ in range(20):
        bench.sent()
        bench.refuse(0)
        if bench.fell():
            break
        bench.quiet()
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.UNCERTAIN


def test_a_silent_firmware_is_asked_patiently_at_the_opening() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 0, bench.now)
    for _ in range(6):
        bench.sent()
        bench.quiet()
    bench.sent()
    bench.refuse(BASE)
    for _ in range(4):
        if not bench.happened(SessionOpened):
            bench.quiet()
    assert bench.events == [SessionOpened(BASE)]


def test_a_restart_while_the_number_is_set_is_not_covered_up() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 500, bench.now)
    bench.sent()
    bench.hear("start")
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.RESET
    assert bench.sent() == b""


def test_adopting_goes_on_without_a_word() -> None:
    bench = Bench(open_now=False)
    bench.engine.adopt(BASE, 41, bench.now)
    bench.moves(2)
    assert bench.lines_sent() == [42, 43]
    assert bench.happened(SessionOpened) == [SessionOpened(BASE + 41)]


def test_the_window_is_filled_and_refilled_by_oks() -> None:
    bench = Bench()
    bench.moves(10)
    assert bench.lines_sent() == [1, 2, 3, 4]
    bench.hear("ok")
    assert bench.lines_sent() == [5]
    bench.hear("ok", "ok")
    assert bench.lines_sent() == [6, 7]


def test_the_window_counts_bytes() -> None:
    bench = Bench(size=60)
    bench.push(*(b"G1 X10.123 Y20.456 E0.12345" for _ in range(5)))
    assert bench.lines_sent() == [1]
    bench.hear("ok")
    assert bench.lines_sent() == [2]


def test_a_line_longer_than_the_window_goes_alone() -> None:
    bench = Bench(size=20)
    bench.push(b"M117 a text that is longer than the whole window", b"G1 X1")
    assert bench.lines_sent() == [1]
    bench.hear("ok")
    assert bench.lines_sent() == [2]


def test_replies_may_come_in_any_pieces() -> None:
    bench = Bench()
    bench.moves(6)
    bench.sent()
    for piece in (b"o", b"k\no", b"k", b"\n", b"ok\nok\n"):
        bench.hear(piece)
    assert bench.engine.window.acked == 4


def test_carriage_returns_do_not_matter() -> None:
    bench = Bench()
    bench.moves(2)
    bench.sent()
    bench.hear(b"ok\r\nok\r\n")
    assert bench.engine.window.acked == 2


def test_an_ok_with_temperatures_counts_and_is_reported() -> None:
    bench = Bench()
    bench.moves(1)
    bench.sent()
    bench.hear("ok T:21.97 /0.00 B:21.97 /0.00 @:0 B@:0")
    assert bench.engine.window.acked == 1
    (report,) = bench.happened(Reported)
    assert isinstance(report, Reported)
    assert isinstance(report.reply, TemperatureReport)


def test_an_automatic_report_is_no_ok() -> None:
    bench = Bench()
    bench.moves(1)
    bench.sent()
    bench.hear(" T:21.97 /0.00 B:21.97 /0.00 @:0 B@:0")
    assert bench.engine.window.acked == 0


def test_a_blocking_command_waits_for_the_others_and_nothing_follows_it() -> None:
    bench = Bench()
    bench.moves(2)
    bench.push(b"M109 S200", barrier=True)
    bench.moves(2)
    assert bench.lines_sent() == [1, 2]
    bench.hear("ok")
    assert bench.lines_sent() == []
    bench.hear("ok")
    assert bench.lines_sent() == [3]
    bench.hear("echo:busy: processing", " T:29.88 /200.00 B:21.97 /0.00 @:127 B@:0 W:?")
    assert bench.lines_sent() == []
    bench.hear("ok")
    assert bench.lines_sent() == [4, 5]


def test_the_end_is_reported_with_the_counter_of_the_firmware() -> None:
    bench = Bench()
    bench.moves(2)
    bench.engine.finish()
    bench.sent()
    bench.hear("ok", "ok")
    assert bench.sent() == PROBE
    bench.refuse(BASE + 2)
    assert bench.sent() == b""
    assert bench.happened(StreamDone) == [StreamDone(2, BASE + 2)]
    assert bench.engine.deadline() is None


def test_the_end_is_not_believed_to_oks_alone() -> None:
    bench = Bench()
    bench.moves(2)
    bench.engine.finish()
    bench.sent()
    bench.hear("ok", "ok")
    bench.sent()
    bench.refuse(BASE + 1)  # the second ok was a double: the last line never arrived
    assert bench.happened(StreamDone) == []
    assert bench.lines_sent() == [2]
    bench.hear("ok")
    assert bench.sent() == PROBE
    bench.refuse(BASE + 2)
    bench.sent()
    assert bench.happened(StreamDone) == [StreamDone(2, BASE + 2)]
