"""The printer thread on real pseudo-terminals."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.errors import PortError
from agent.printer.dialects import MARLIN_2
from agent.printer.engine import LineEngine
from agent.printer.engine_events import Failed, SessionOpened, StreamDone, Verdict
from agent.printer.feeder import Feeder
from agent.printer.framing import build_chunk
from agent.printer.port import Port, open_port
from agent.printer.runner import FileEnded, FileFailed, LinkRunner, PortLost, RunnerCrashed, RunnerEvent
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize
from tests.unit.printer.port_peers import Terminal, eventually
from tests.unit.printer.prepared_files import prepared_of, write
from tests.unit.printer.sim_printer import SimPrinter

LINES = [b"G1 X%d.%d F6000" % (i % 100, i % 10) for i in range(600)]


class Driven:
    """A runner and everything it reported."""

    def __init__(self, port: Port, engine: LineEngine | None = None) -> None:
        self.events: list[RunnerEvent] = []
        self.engine = engine or LineEngine(MARLIN_2, WindowSize(4, 120))
        self.runner = LinkRunner(port, self.engine, Transcript(), self.events.append)

    def start(self) -> None:
        self.runner.start()

    def until(self, kind: type) -> RunnerEvent:
        eventually(lambda: any(isinstance(event, kind) for event in self.events))
        return next(event for event in self.events if isinstance(event, kind))


@pytest.fixture
def printer() -> Iterator[SimPrinter]:
    made = SimPrinter()
    yield made
    made.close()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.hang_up()


def test_a_file_from_disk_to_the_firmware(printer: SimPrinter, tmp_path: Path) -> None:
    driven = Driven(printer.plug())
    driven.start()
    driven.runner.post(lambda now: driven.engine.open(21_000, 0, now))
    driven.until(SessionOpened)
    path, prepared = write(tmp_path / "part", LINES), prepared_of(LINES)
    feeder = Feeder(path, prepared, 21_000, 0, driven.runner.wake)
    driven.runner.post(lambda _: driven.runner.feed_from(feeder))
    feeder.start()
    assert driven.until(StreamDone) == StreamDone(600, 21_600)
    end = driven.until(FileEnded)
    assert isinstance(end, FileEnded)
    assert end.end.sha256 == prepared.sha256
    assert printer.executed() == LINES
    driven.runner.close()
    assert not driven.runner.is_alive()


def test_a_file_that_cannot_be_read_is_reported(printer: SimPrinter, tmp_path: Path) -> None:
    driven = Driven(printer.plug())
    driven.start()
    feeder = Feeder(tmp_path / "gone", prepared_of(LINES), 21_000, 0, driven.runner.wake)
    driven.runner.post(lambda _: driven.runner.feed_from(feeder))
    feeder.start()
    failed = driven.until(FileFailed)
    assert isinstance(failed, FileFailed)
    assert "gone" in failed.detail
    assert printer.executed() == []
    driven.runner.close()


def test_a_pulled_cable_ends_the_thread(terminal: Terminal) -> None:
    driven = Driven(open_port(terminal.path, 115200))
    driven.start()
    terminal.hang_up()
    lost = driven.until(PortLost)
    eventually(lambda: not driven.runner.is_alive())
    assert driven.events[-1] is lost


class BrokenEngine(LineEngine):
    """An engine with a defect."""

    def feed(self, data: bytes, now: float) -> None:
        raise ZeroDivisionError(f"cannot take {len(data)} bytes")


def test_a_defect_is_reported_and_never_a_silent_stall(terminal: Terminal) -> None:
    driven = Driven(open_port(terminal.path, 115200), BrokenEngine(MARLIN_2, WindowSize(4, 120)))
    driven.start()
    terminal.say(b"ok\n")
    crashed = driven.until(RunnerCrashed)
    assert isinstance(crashed, RunnerCrashed)
    assert "ZeroDivisionError" in crashed.detail
    eventually(lambda: not driven.runner.is_alive())


def test_a_defect_in_a_posted_action_is_reported_too(terminal: Terminal) -> None:
    driven = Driven(open_port(terminal.path, 115200))
    driven.start()
    driven.runner.post(lambda now: [][int(now)])
    crashed = driven.until(RunnerCrashed)
    assert isinstance(crashed, RunnerCrashed)
    assert "IndexError" in crashed.detail
    eventually(lambda: not driven.runner.is_alive())


def test_waking_an_ended_thread_touches_no_foreign_descriptor(terminal: Terminal) -> None:
    """The pipe's number may belong to the database by then: a byte written there would ruin it."""
    driven = Driven(open_port(terminal.path, 115200))
    number = driven.runner._wake_write
    driven.start()
    driven.runner.close()
    read, write_end = os.pipe()
    try:
        os.dup2(write_end, number)
        os.set_blocking(read, False)
        driven.runner.wake()
        driven.runner.post(lambda _: None)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
    finally:
        for descriptor in {read, write_end, number}:
            os.close(descriptor)


def test_a_runner_that_never_started_lets_its_port_go(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    driven = Driven(port)
    driven.runner.close()
    assert port.fileno() == -1
    driven.runner.wake()


def test_the_emergency_stop_overtakes_a_full_output(terminal: Terminal) -> None:
    """Nobody reads: the port is full, and more is waiting in the thread."""
    driven = Driven(open_port(terminal.path, 115200), LineEngine(MARLIN_2, WindowSize(10**6, 10**9)))
    driven.start()
    many = [b"G1 X%d Y123.456 E0.12345 F3000" % i for i in range(20_000)]

    def push(now: float) -> None:
        driven.engine.adopt(21_000, 0, now)
        driven.engine.push(build_chunk(1, 21_000, many))

    driven.runner.post(push)
    eventually(lambda: len(driven.runner._unsent) > 100_000)

    def stop(_: float) -> None:
        driven.runner.emergency(b"\nM112\n")
        driven.engine.halt("stop")

    driven.runner.post(stop)
    driven.until(Failed)
    read = b""
    while b"\nM112\n" not in read:
        read += terminal.heard(1)
        assert len(read) < 20_000, "the stop is behind the lines"
    assert len(read) < 20_000
    eventually(lambda: driven.runner._unsent == b"")
    driven.runner.close()


def test_the_thread_beats_while_idle(terminal: Terminal) -> None:
    driven = Driven(open_port(terminal.path, 115200))
    driven.start()
    before = driven.runner.beats
    eventually(lambda: driven.runner.beats > before)
    assert driven.runner.is_alive()
    assert driven.events == []
    driven.runner.close()


def test_posted_actions_run_in_the_thread_and_in_order(terminal: Terminal) -> None:
    driven = Driven(open_port(terminal.path, 115200))
    driven.start()
    seen: list[tuple[int, str]] = []
    for index in range(100):
        driven.runner.post(lambda _, index=index: seen.append((index, threading.current_thread().name)))  # type: ignore[misc]
    eventually(lambda: len(seen) == 100)
    assert seen == [(index, "printer") for index in range(100)]
    driven.runner.close()


def test_a_dead_processor_is_a_failed_conversation_not_a_crash(printer: SimPrinter) -> None:
    driven = Driven(printer.plug())
    driven.engine.pace.report_seen()
    driven.start()
    driven.runner.post(lambda now: driven.engine.open(21_000, 0, now - 100))
    printer.do(lambda firmware, now: firmware.die(now))

    def failures_after_a_silence() -> list[Failed]:
        # Each time again: answers from before the death may still be on the wire.
        driven.runner.post(lambda now: setattr(driven.engine, "_last_rx", now - 100))
        return [event for event in driven.events if isinstance(event, Failed)]

    eventually(lambda: bool(failures_after_a_silence()))
    assert failures_after_a_silence()[0].verdict is Verdict.SILENT
    driven.runner.close()


def test_a_port_without_a_reset_line_says_so(terminal: Terminal) -> None:
    driven = Driven(open_port(terminal.path, 115200))
    with pytest.raises(PortError):
        driven.runner.pulse_dtr()
    driven.runner.close()


class BoardWithReset:
    """A port whose DTR is wired to the board's reset; notes in which order things happen."""

    spec = identity = "wired"
    baud = 115_200

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        return self._read

    def read(self, limit: int = 0) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        self.seen.append(data)
        return len(data)

    def flush_output(self) -> None:
        self.seen.append(b"flushed")

    def pulse_dtr(self) -> None:
        self.seen.append(b"DTR")

    def close(self) -> None:
        for descriptor in (self._read, self._write):
            os.close(descriptor)


@pytest.mark.parametrize(
    ("resets", "expected"), [(True, [b"flushed", b"M112\n", b"DTR"]), (False, [b"flushed", b"M112\n"])]
)
def test_a_stop_resets_a_board_that_may_not_read_it(resets: bool, expected: list[bytes]) -> None:
    board = BoardWithReset()
    runner = LinkRunner(board, LineEngine(MARLIN_2, WindowSize(4, 120)), Transcript(), lambda _: None)
    runner.emergency(b"M112\n", resets_board=resets)
    assert board.seen == expected
    runner.close()


def test_a_stop_over_a_port_without_dtr_is_sent_all_the_same(terminal: Terminal) -> None:
    transcript = Transcript()
    runner = LinkRunner(
        open_port(terminal.path, 115200), LineEngine(MARLIN_2, WindowSize(4, 120)), transcript, lambda _: None
    )
    runner.emergency(b"M112\n", resets_board=True)
    assert [entry.direction for entry in transcript.tail(5)] == [">", "!"]
    runner.close()
