"""The line engine and its owner: holds, polls, urgent bytes, host commands."""

from __future__ import annotations

import pytest

from agent.printer.engine import Mode
from agent.printer.engine_events import (
    CommandDone,
    Drained,
)
from agent.printer.framing import build_chunk, frame
from tests.unit.printer.engine_bench import BASE, PROBE, Bench


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
