"""The line engine against scripted replies: every pathology of the wire has its own test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.printer import framing
from agent.printer.dialects import MARLIN_2, Dialect, by_name
from agent.printer.engine import LineEngine, Mode
from agent.printer.engine_events import (
    CommandDone,
    Drained,
    EngineEvent,
    Failed,
    Reported,
    Resynchronised,
    SessionOpened,
    StreamDone,
    Verdict,
)
from agent.printer.framing import build_chunk, frame, with_token
from agent.printer.replies import Busy, TemperatureReport
from agent.printer.window import WindowSize

BASE = 20_000
PROBE = framing.probe()


class Bench:
    """The engine, a clock, and what it says; the test plays the firmware."""

    def __init__(
        self, dialect: Dialect = MARLIN_2, lines: int = 4, size: int = 120, open_now: bool = True
    ) -> None:
        self.engine = LineEngine(dialect, WindowSize(lines, size))
        self.now = 100.0
        self.events: list[EngineEvent] = []
        if open_now:
            self.open()

    def open(self, base: int = BASE, at: int = 0) -> None:
        self.engine.open(base, at, self.now)
        if self.engine.mode is Mode.OPENING:
            self.sent()
            self.refuse(base + at)
            self.quiet()
        assert self.engine.mode is Mode.FLOW
        self.events.clear()

    def push(self, *commands: bytes, barrier: bool = False, token: int | None = None) -> None:
        base = self.engine.base if self.engine.dialect.numbered else None
        chunk = build_chunk(self.engine.window.last + 1, base, commands, barrier=barrier)
        self.engine.push(chunk if token is None else with_token(chunk, token))

    def moves(self, count: int) -> None:
        self.push(*(b"G1 X%d" % index for index in range(count)))

    def sent(self) -> bytes:
        """What the engine writes now."""
        data = self.engine.outgoing(self.now)
        self.events += self.engine.take_events()
        return data

    def lines_sent(self) -> list[int]:
        """Indices of the session's lines among what is written now."""
        numbers = [int(line[1:].split(b" ")[0]) for line in self.sent().split(b"\n") if line.startswith(b"N")]
        return [number - self.engine.base for number in numbers if number != framing.IMPOSSIBLE_LINE]

    def hear(self, *lines: str | bytes, after_s: float = 0.001) -> None:
        self.now += after_s
        for line in lines:
            self.engine.feed(line if isinstance(line, bytes) else line.encode() + b"\n", self.now)
        self.events += self.engine.take_events()

    def refuse(self, last: int, *, ok: bool = True) -> None:
        """The firmware refuses a line, or answers the question."""
        self.hear(f"Error:Line Number is not Last Line Number+1, Last Line: {last}", f"Resend: {last + 1}")
        if ok:
            self.hear("ok")

    def quiet(self) -> None:
        """Nothing comes until the engine wants to act."""
        deadline = self.engine.deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        self.engine.on_deadline(self.now)
        self.events += self.engine.take_events()

    def until_asking(self) -> None:
        for _ in range(50):
            if PROBE in self.sent():
                return
            self.quiet()
        raise AssertionError(f"never asked; mode {self.engine.mode}")

    def fell(self) -> Failed | None:
        return next((event for event in self.events if isinstance(event, Failed)), None)

    def happened(self, kind: type) -> list[EngineEvent]:
        return [event for event in self.events if isinstance(event, kind)]


# -- opening --------------------------------------------------------------------------------------------------------


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


def test_the_lost_ok_of_m110_does_not_matter() -> None:
    bench = Bench(open_now=False)
    bench.engine.open(BASE, 0, bench.now)
    bench.sent()
    bench.refuse(BASE, ok=False)
    bench.quiet()
    assert bench.events == [SessionOpened(BASE)]


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
    assert bench.engine.mode is Mode.OPENING
    bench.sent()
    bench.refuse(BASE)
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


# -- flow -----------------------------------------------------------------------------------------------------------


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


# -- refusals -------------------------------------------------------------------------------------------------------


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


# -- resets, halts, silence -----------------------------------------------------------------------------------------


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


# -- lost and doubled things ----------------------------------------------------------------------------------------


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


# -- hold, poll, urgent, host commands ------------------------------------------------------------------------------


def test_drained_names_exactly_the_last_accepted_line() -> None:
    bench = Bench()
    bench.moves(10)
    bench.sent()
    bench.engine.hold()
    bench.hear("ok", "ok", "ok")
    assert bench.sent() == b""
    bench.hear("ok")
    assert bench.sent() == PROBE
    bench.refuse(BASE + 3)  # one ok was doubled
    bench.sent()
    assert bench.happened(Drained) == [Drained(3)]
    assert bench.sent() == b""


def test_a_hold_with_nothing_in_flight_is_drained_at_once() -> None:
    bench = Bench()
    bench.engine.hold()
    assert bench.sent() == b""
    assert bench.happened(Drained) == [Drained(0)]


def test_a_hold_during_a_resynchronisation_sends_nothing_more() -> None:
    bench = Bench()
    bench.moves(10)
    bench.sent()
    bench.refuse(BASE + 1)
    bench.engine.hold()
    bench.quiet()
    assert bench.sent() == b""
    assert bench.happened(Drained) == [Drained(1)]


def test_a_poll_goes_between_two_lines() -> None:
    bench = Bench()
    bench.moves(6)
    bench.sent()
    bench.engine.poll()
    bench.hear("ok")
    assert bench.sent() == b""
    bench.hear("ok", "ok", "ok")
    assert bench.sent() == b"M105\n"
    assert bench.sent() == b""
    bench.hear("ok T:21.97 /0.00 B:21.97 /0.00 @:0 B@:0")
    assert bench.engine.window.acked == 4
    assert bench.lines_sent() == [5, 6]


def test_an_unanswered_poll_does_not_stop_the_print() -> None:
    bench = Bench()
    bench.engine.poll()
    assert bench.sent() == b"M105\n"
    bench.moves(1)
    assert bench.sent() == b""
    bench.quiet()
    assert bench.lines_sent() == [1]


def test_urgent_bytes_go_first() -> None:
    bench = Bench()
    bench.moves(2)
    bench.engine.urgent(b"M108\n")
    assert bench.sent().startswith(b"M108\nN20001 ") or bench.sent() == b""


def test_a_host_command_gets_its_own_reply_lines() -> None:
    bench = Bench()
    bench.push(b"M115", barrier=True, token=7)
    bench.push(b"M114", barrier=True, token=8)
    bench.sent()
    bench.hear(
        "FIRMWARE_NAME:Marlin 2.1.2 MACHINE_TYPE:Rig EXTRUDER_COUNT:1",
        " T:21.97 /0.00 B:21.97 /0.00 @:0 B@:0",
        "Cap:EEPROM:1",
        "echo:busy: processing",
        "ok",
    )
    (done,) = bench.happened(CommandDone)
    assert isinstance(done, CommandDone)
    assert done.token == 7
    assert [line.split(":")[0] for line in done.replies] == ["FIRMWARE_NAME", "Cap"]
    bench.sent()
    bench.hear("X:1.00 Y:2.00 Z:3.00 E:0.00 Count X:0 Y:0 Z:0", "ok")
    second = bench.happened(CommandDone)[1]
    assert isinstance(second, CommandDone)
    assert second.replies[0].startswith("X:1.00")


def test_a_host_command_whose_ok_is_lost_is_done_all_the_same() -> None:
    bench = Bench()
    bench.push(b"M84", barrier=True, token=3)
    bench.sent()
    bench.until_asking()
    bench.refuse(BASE + 1)
    bench.quiet() if bench.engine.mode is not Mode.FLOW else None
    assert [event.token for event in bench.happened(CommandDone)] == [3]  # type: ignore[union-attr]


def test_a_host_command_that_never_arrived_is_sent_again() -> None:
    bench = Bench()
    bench.push(b"M84", barrier=True, token=3)
    first = bench.sent()
    bench.refuse(BASE)
    bench.quiet() if bench.engine.mode is not Mode.FLOW else None
    assert bench.sent() == first
    assert bench.happened(CommandDone) == []


def test_a_late_ok_is_not_taken_for_that_of_a_blocking_command() -> None:
    bench = Bench()
    bench.moves(3)
    bench.push(b"M109 S200", barrier=True)
    bench.sent()
    bench.until_asking()
    bench.refuse(BASE + 3)  # accepted, but their oks have not come
    bench.quiet() if bench.engine.mode is not Mode.FLOW else None
    assert bench.sent() == b""
    bench.hear("ok", "ok", "ok")
    bench.quiet() if bench.engine.window.unsettled else None
    assert bench.lines_sent() == [4]
    assert bench.engine.window.acked == 3


def test_chunks_must_follow_each_other() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="expected 1"):
        bench.engine.push(build_chunk(2, BASE, [b"G1 X1"]))


def test_frames_are_what_the_firmware_checks() -> None:
    bench = Bench()
    bench.push(b"G1 X0")
    assert bench.sent() == frame(BASE + 1, b"G1 X0")
