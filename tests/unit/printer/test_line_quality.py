"""A line that gets worse is told in time, once, and again when it is good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.printer.dialects import MARLIN_2
from agent.printer.engine import LineEngine
from agent.printer.line_quality import JUDGED_LINES, LineQuality, LineReport, LineState, next_state
from agent.printer.window import WindowSize


class Line:
    """An engine whose counters are set by hand."""

    def __init__(self) -> None:
        self.engine = LineEngine(MARLIN_2, WindowSize(4, 120))
        self.quality = LineQuality()

    def print_lines(self, count: int, *, resends: int = 0, timeouts: int = 0) -> list[LineReport]:
        """So many more lines, the losses spread over them, looked at every 50."""
        told = []
        for step in range(1, count // 50 + 1):
            share = step * 50 / count - (step - 1) * 50 / count
            self._resends += resends * share
            self._timeouts += timeouts * share
            self.engine.window.sent += 50
            self.engine.resends, self.engine.timeouts = round(self._resends), round(self._timeouts)
            self.engine.pace.latency.add(0.004)
            report = self.quality.look(self.engine)
            told += [report] if report else []
        return told

    _resends = 0.0
    _timeouts = 0.0


def test_a_good_line_is_not_mentioned() -> None:
    line = Line()
    assert line.print_lines(20_000, resends=40) == []
    assert line.quality.state is LineState.GOOD


def test_a_line_that_gets_worse_is_told_once_per_state_and_when_it_is_good_again() -> None:
    line = Line()
    told = line.print_lines(2000) + line.print_lines(2000, resends=24)
    assert [report.state for report in told] == [LineState.NOISY]
    assert "try another USB cable" in told[0].detail
    told = line.print_lines(2000, resends=150, timeouts=50)
    assert [report.state for report in told] == [LineState.FAILING]
    assert "it may cost the print" in told[0].detail
    told = line.print_lines(3000)
    assert [report.state for report in told] == [LineState.NOISY, LineState.GOOD]
    assert told[-1].detail == "the line to the printer is good again"


def test_lost_answers_count_as_losses() -> None:
    told = Line().print_lines(1000, timeouts=20)
    assert [report.state for report in told] == [LineState.NOISY]
    assert told[0].timeouts > 0
    assert told[0].data()["lost_per_1000"] >= 5


def test_the_report_has_the_waiting_times_of_the_judged_lines() -> None:
    line = Line()
    for _ in range(50):
        line.engine.pace.latency.add(2.0)  # a slow start, long before
    line.print_lines(1000)
    (report,) = line.print_lines(1000, resends=20)[:1]
    assert report.ok_ms["p50"] == pytest.approx(4, rel=0.3)
    assert report.ok_ms["p99"] < 10


def test_a_few_lines_are_not_judged() -> None:
    line = Line()
    assert line.print_lines(JUDGED_LINES - 50, resends=100) == []


def test_another_connection_and_another_session_begin_anew() -> None:
    line = Line()
    line.print_lines(2000, resends=200)
    was = line.quality.state
    line.engine.window.sent = 0
    assert line.print_lines(JUDGED_LINES - 50) == []
    line.engine = LineEngine(MARLIN_2, WindowSize(4, 120))
    line._resends = 0.0
    assert line.print_lines(JUDGED_LINES - 50) == []
    assert line.quality.state is was is LineState.FAILING


@given(st.sampled_from(LineState), st.floats(0, 1000))
def test_a_state_never_changes_twice_at_the_same_rate(was: LineState, rate: float) -> None:
    once = next_state(was, rate)
    assert next_state(once, rate) is once
