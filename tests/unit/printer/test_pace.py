"""Patience, window sizes and the rhythm of checks."""

from __future__ import annotations

import pytest

from agent.printer.framing import build_chunk
from agent.printer.pace import CAREFUL, CHECK_FIRST, CHECK_LEAST, CHECK_MOST, Pace
from agent.printer.window import SendWindow, WindowSize

FULL = WindowSize(8, 400)


def flowing(keepalive: bool = True) -> tuple[Pace, SendWindow]:
    pace, window = Pace(FULL, keepalive=keepalive), SendWindow(FULL)
    window.push(build_chunk(1, None, [b"G1 X%d" % i for i in range(20_000)]))
    pace.restart(window)
    return pace, window


def exchange(pace: Pace, window: SendWindow, lines: int, answer_s: float = 0.01) -> None:
    now = 0.0
    target = window.acked + lines
    while window.acked < target:
        window.take()
        pace.sent(window, now)
        now += answer_s
        window.acknowledge(1)
        pace.acked(window, now)


def test_patience_follows_what_the_firmware_is_known_to_say() -> None:
    assert Pace(FULL, keepalive=True).patience_s == pytest.approx(2.3)
    silent = Pace(FULL, keepalive=False)
    assert silent.patience_s == 3.0
    silent.busy_seen()
    assert silent.patience_s == pytest.approx(2.3)


def test_a_plain_line_is_asked_about_soon_and_by_what_is_usual() -> None:
    pace, window = flowing()
    assert pace.eager_patience_s == 0.25
    exchange(pace, window, 2000, answer_s=0.01)
    assert pace.short_patience_s < pace.eager_patience_s <= 0.5
    slow, other = flowing()
    exchange(slow, other, 100, answer_s=2.0)
    assert slow.eager_patience_s == slow.patience_s


def test_questions_in_vain_come_less_and_less_often() -> None:
    pace = Pace(FULL, keepalive=True)
    waits = [pace.answer_s(asked) for asked in range(12)]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert waits == sorted(waits)
    assert waits[-1] == 45.0
    pace.report_seen()
    assert pace.answer_s(11) == 3.75
    assert pace.dead_s == 15.0


def test_losses_narrow_the_window_and_clean_lines_widen_it() -> None:
    pace, window = flowing()
    exchange(pace, window, 50)
    pace.lost(window)
    singles = [pace.single]
    assert window.size.lines == 1
    exchange(pace, window, 8)
    singles.append(pace.single)
    assert singles == [True, False]
    assert window.size == CAREFUL
    exchange(pace, window, 600)
    assert window.size == FULL


def test_a_new_session_begins_with_the_full_window() -> None:
    pace, window = flowing()
    pace.lost(window)
    window.start_at(0)
    pace.restart(window)
    assert window.size == FULL


def test_the_careful_window_is_never_larger_than_the_full_one() -> None:
    small = WindowSize(2, 96)
    pace, window = Pace(small, keepalive=True), SendWindow(small)
    window.push(build_chunk(1, None, [b"G1 X%d" % i for i in range(100)]))
    pace.restart(window)
    pace.lost(window)
    exchange(pace, window, 3)
    assert window.size == small


def test_checks_become_rare_when_the_counts_agree_and_frequent_when_not() -> None:
    pace, window = flowing()
    assert not (window.sent >= pace.check_at)
    exchange(pace, window, CHECK_FIRST)
    assert window.sent >= pace.check_at
    pace.verified(drift=0, index=window.sent, now=1.0)
    assert not (window.sent >= pace.check_at)
    exchange(pace, window, CHECK_FIRST)
    assert not (window.sent >= pace.check_at)
    for _ in range(10):
        pace.verified(drift=0, index=window.sent, now=1.0)
    exchange(pace, window, CHECK_MOST)
    assert window.sent >= pace.check_at
    for _ in range(10):
        pace.verified(drift=-1, index=window.sent, now=1.0)
    exchange(pace, window, CHECK_LEAST)
    assert window.sent >= pace.check_at


def test_a_suspicion_brings_the_next_check_forward_but_never_back() -> None:
    pace, window = flowing()
    pace.suspect(0)
    exchange(pace, window, 20)
    assert window.sent >= pace.check_at
    pace.suspect(window.sent)
    assert window.sent >= pace.check_at


def test_silence_after_a_refusal_grows_with_lines_in_flight_and_has_a_ceiling() -> None:
    pace = Pace(FULL, keepalive=True)
    assert pace.quiet_s(0) == pytest.approx(0.01)
    assert pace.quiet_s(4) > pace.quiet_s(1)
    assert pace.quiet_s(10_000) == pytest.approx(0.15)


def test_only_a_firmware_without_keepalive_may_work_in_silence() -> None:
    assert not Pace(FULL, keepalive=True).may_still_run(0)
    silent = Pace(FULL, keepalive=False)
    assert silent.may_still_run(0)
    assert not silent.may_still_run(400)
