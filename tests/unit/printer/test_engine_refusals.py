"""The line engine when the firmware refuses lines."""

from __future__ import annotations

from dataclasses import replace

from agent.printer.dialects import MARLIN_2, by_name
from agent.printer.engine import Mode
from agent.printer.engine_events import (
    Failed,
    Resynchronised,
    StreamDone,
    Verdict,
)
from tests.unit.printer.engine_bench import BASE, PROBE, Bench


def test_a_burst_of_errors_counts_once() -> None:
    bench = Bench()
    bench.moves(8)
    bench.sent()
    bench.hear("ok")  # line 1
    bench.sent()
    for _ in range(4):  # line 2 was damaged, so 3, 4 and 5 are refused as well
        bench.refuse(BASE + 1)
        assert bench.sent() == b""
    bench.quiet()
    assert bench.happened(Resynchronised) == [Resynchronised(1, 4, asked=False)]
    assert bench.lines_sent() == [2]
    bench.hear("ok")
    assert bench.lines_sent() == [3, 4, 5, 6]


def test_nothing_is_sent_before_the_line_is_quiet() -> None:
    bench = Bench()
    bench.moves(8)
    bench.sent()
    bench.refuse(BASE + 0)
    began = bench.now
    for _ in range(3):
        bench.now += 0.009
        bench.engine.on_deadline(bench.now)
        assert bench.sent() == b""
        bench.refuse(BASE + 0)
    bench.quiet()
    assert bench.lines_sent() == [1]
    assert bench.now - began >= 0.037


def test_a_single_refusal_in_ping_pong_needs_no_silence() -> None:
    bench = Bench(lines=1)
    bench.moves(2)
    bench.sent()
    bench.refuse(BASE)
    assert bench.lines_sent() == [1]


def test_a_resend_without_ok() -> None:
    bench = Bench()
    bench.moves(4)
    bench.sent()
    for _ in range(4):
        bench.refuse(BASE, ok=False)
    bench.quiet()
    assert bench.lines_sent() == [1]


def test_a_lone_resend_is_confirmed_before_it_is_obeyed() -> None:
    """`rs N3` of Smoothieware, or Marlin's whose error line was lost: one number without a checksum."""
    bench = Bench()
    bench.moves(4)
    bench.sent()
    bench.hear("rs N20003")
    bench.quiet()
    assert bench.sent() == PROBE
    bench.hear("rs N20003")
    bench.quiet()
    assert bench.lines_sent() == [3]


def test_a_damaged_number_in_a_lone_resend_does_no_harm() -> None:
    bench = Bench(by_name("smoothie") or MARLIN_2)
    bench.moves(2)
    bench.engine.finish()
    bench.sent()
    bench.hear("ok", "ok")
    bench.sent()
    bench.hear("rs N20003")  # damaged: it was 20002, the last line is missing
    bench.quiet()
    assert bench.sent() == PROBE
    bench.hear("rs N20002")
    bench.quiet()
    assert bench.sent() == PROBE
    bench.hear("rs N20002")
    bench.quiet()
    assert bench.lines_sent() == [2]
    assert not bench.happened(StreamDone)


def test_an_answer_whose_two_numbers_disagree_is_asked_again() -> None:
    bench = Bench()
    bench.moves(4)
    bench.sent()
    bench.hear(
        "Error:checksum mismatch, Last Line: 20000", "Resend: 20003", "ok", "ok", "ok", "ok", after_s=0.002
    )
    bench.quiet()
    assert bench.sent() == PROBE
    bench.refuse(BASE)
    bench.quiet()
    assert bench.lines_sent() == [1]


def test_a_lost_resend_whose_ok_survives_is_found_at_the_next_line() -> None:
    bench = Bench(lines=1)
    bench.moves(3)
    bench.sent()
    bench.hear("ok")  # line 1 was refused, its error and Resend were lost
    assert bench.lines_sent() == [2]
    bench.refuse(BASE)
    assert bench.happened(Failed) == []
    bench.quiet() if bench.engine.mode is not Mode.FLOW else None
    assert bench.lines_sent() == [1]


def test_a_stale_numbered_ok_frees_no_room() -> None:
    """ADVANCED_OK: the ok that trails a Resend names the line that is being executed (measured)."""
    bench = Bench()
    bench.moves(6)
    bench.sent()
    bench.hear("ok N20001 P15 B3")
    bench.sent()
    bench.hear("ok N20001 P15 B3", "ok N20001 P15 B3")
    assert bench.engine.window.acked == 1
    bench.hear("ok N20003 P15 B3")  # the ok of line 2 was lost
    assert bench.engine.window.acked == 3


def test_a_numbered_ok_of_another_session_frees_no_room() -> None:
    bench = Bench()
    bench.moves(2)
    bench.sent()
    bench.hear("ok N999 P15 B3", "ok N29999 P15 B3")
    assert bench.engine.window.acked == 0


def test_a_negative_resend_is_asked_about_and_forgotten() -> None:
    bench = Bench()
    bench.moves(2)
    bench.sent()
    bench.hear("ok", "Resend: -5")
    bench.quiet()
    assert bench.sent() == PROBE
    bench.refuse(BASE + 2)
    bench.quiet()
    assert bench.fell() is None
    assert bench.engine.window.verified == 2


def test_an_unasked_resend_far_back_is_obeyed_by_prusa_only() -> None:
    for name, allowed in (("prusa", True), ("marlin", False)):
        dialect = by_name(name)
        assert dialect is not None
        bench = Bench(dialect)
        bench.moves(60)
        for _ in range(60):
            bench.sent()
            bench.hear("ok")
        bench.engine.finish()
        bench.until_asking()
        bench.refuse(BASE + 60)
        bench.sent()
        assert bench.engine.window.verified == 60
        bench.hear("sensor_checkpoint_print", "Resend: 20031", "ok")
        for _ in range(3):
            bench.until_asking()
            bench.refuse(BASE + 30)
            if bench.engine.mode in (Mode.SETTLING, Mode.ASKING):
                bench.quiet()
            if bench.engine.mode in (Mode.FLOW, Mode.DEAD):
                break
        if allowed:
            assert bench.lines_sent() == [31]
        else:
            fell = bench.fell()
            assert fell is not None
            assert fell.verdict is Verdict.RESET
            assert bench.sent() == b""


def test_more_lines_than_prusa_remembers_are_never_repeated() -> None:
    dialect = replace(MARLIN_2, unasked_resend_back=10)
    bench = Bench(dialect)
    bench.moves(40)
    bench.engine.finish()
    for _ in range(40):
        bench.sent()
        bench.hear("ok")
    bench.until_asking()
    bench.refuse(BASE + 40)
    for _ in range(4):
        bench.hear("Resend: 20002", "ok")
        if bench.engine.mode is Mode.DEAD:
            break
        bench.until_asking()
        bench.refuse(BASE + 1)
        if bench.engine.deadline() is not None:
            bench.quiet()
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.RESET


def test_a_line_the_firmware_never_takes_stops_the_print() -> None:
    bench = Bench(lines=1)
    bench.moves(2)
    for _ in range(100):
        bench.sent()
        bench.refuse(BASE)
        bench.hear("ok")  # a stray ok must not look like progress
        if bench.fell():
            break
        if bench.engine.deadline() is not None and bench.engine.mode is not Mode.FLOW:
            bench.quiet()
    fell = bench.fell()
    assert fell is not None
    assert fell.verdict is Verdict.RESEND_LIMIT
    assert "20001" in fell.detail


def test_the_firmware_may_have_accepted_more_than_was_sent_since_a_step_back() -> None:
    """A stale answer made us go back; the firmware tells the truth with the next one."""
    bench = Bench()
    bench.moves(12)
    bench.sent()
    bench.refuse(BASE)  # stale: all four lines are accepted in truth
    bench.quiet()
    assert bench.lines_sent() == [1]
    bench.until_asking()  # the duplicate is met with silence
    bench.refuse(BASE + 4)
    bench.quiet()
    assert bench.fell() is None
    assert bench.lines_sent()[0] == 5


def test_lines_accepted_without_an_ok_take_room_until_they_are_settled() -> None:
    """After a refusal the firmware's queue may still hold accepted lines: never more than the window in all."""
    bench = Bench()
    bench.moves(12)
    bench.sent()
    bench.refuse(BASE + 3)  # line 4 was damaged; 1 to 3 wait in the queue for the planner
    bench.quiet()
    assert bench.lines_sent() == [4]
    bench.hear("ok")  # of line 1
    assert len(bench.lines_sent()) == 1
