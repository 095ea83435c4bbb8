"""The test of the stop path on models with, without and with a deaf emergency parser."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agent.printer import stop_trial
from agent.printer.port import Port, open_port
from agent.printer.stop_path import UNTESTED, EmergencyParser, StopPath
from agent.printer.stop_trial import try_stop_path
from agent.printer.transcript import Transcript
from agent.printer.wire import Wire
from tests.unit.printer.port_peers import Terminal, eventually
from tests.unit.printer.sim_printer import SimPrinter

LONGEST_S = 3.0
"""What the test may cost at a first connection."""
SLACK_S = 1.0
"""For a machine that does other things too."""


@contextmanager
def board(**settings: Any) -> Iterator[tuple[SimPrinter, Port, Wire]]:
    printer = SimPrinter(**settings)
    port = printer.plug()
    try:
        yield printer, port, Wire(port, Transcript())
    finally:
        port.close()
        printer.close()


def test_a_parser_that_acts_is_proven_quickly() -> None:
    with board() as (printer, _, wire):
        began = time.monotonic()
        found = try_stop_path(wire, b"M108", 200.0)
        assert time.monotonic() - began < stop_trial.WAIT_S
        assert (found.parser, found.tested) == (EmergencyParser.PROVEN, True)
        assert found.latency_ms is not None
        assert 0 < found.latency_ms < stop_trial.ACTED_S * 1000
        assert printer.host_commands() == ["M105", "M0 P400000", "M108"], "nothing else may be sent"


def test_a_parser_that_does_not_act_is_found_out() -> None:
    with board(deaf_parser=True) as (_, port, wire):
        began = time.monotonic()
        assert try_stop_path(wire, b"M108", 200.0) == StopPath(EmergencyParser.ABSENT, tested=True)
        assert time.monotonic() - began < LONGEST_S + SLACK_S
        # Nothing of the test is left on the wire: the next ok belongs to the next command.
        wire.write(b"M114\n")
        assert wire.wait_ok(1.0) is not None
        assert wire.wait_ok(0.2) is None
        assert port.fileno() >= 0


@pytest.mark.parametrize("advanced", [True, False])
def test_the_form_of_the_oks_does_not_matter(advanced: bool) -> None:
    with board(advanced_ok=advanced) as (_, _, wire):
        assert try_stop_path(wire, b"M108", 200.0).parser is EmergencyParser.PROVEN


@pytest.mark.parametrize("heater", [b"M104 S150\n", b"M140 S50\n"])
def test_a_heated_printer_is_left_alone(heater: bytes) -> None:
    with board() as (printer, _, wire):
        wire.write(heater)
        assert wire.wait_ok(1.0) is not None
        assert try_stop_path(wire, b"M108", 200.0) == UNTESTED
        assert not any(command.startswith("M0") for command in printer.host_commands())


class Scripted:
    """A far end that answers each line by a function of it; runs until the terminal hangs up."""

    def __init__(self, answers: Callable[[str], bytes]) -> None:
        self.terminal = Terminal()
        self.lines: list[str] = []
        self.port = open_port(self.terminal.path, 115200)
        self._answers = answers
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        rest = b""
        while True:
            try:
                data = os.read(self.terminal.master, 4096)
            except OSError:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.lines.append(line.decode())
                os.write(self.terminal.master, self._answers(line.decode()))

    def close(self) -> None:
        self.port.close()
        self._thread.join(5)
        self.terminal.hang_up()


def trial_on(answers: Callable[[str], bytes]) -> tuple[StopPath, list[str]]:
    far_end = Scripted(answers)
    try:
        found = try_stop_path(Wire(far_end.port, Transcript()), b"M108")
        eventually(lambda: far_end.lines[:1] == ["M105"])
        return found, far_end.lines
    finally:
        far_end.close()


COLD = b"ok T:20.0 /0.0 B:20.0 /0.0 @:0 B@:0\n"


def test_a_firmware_that_does_not_wait_settles_the_question_without_an_answer() -> None:
    def answers(line: str) -> bytes:
        return COLD if line == "M105" else b'echo:Unknown command: "M0"\nok\n'

    found, lines = trial_on(answers)
    assert found == StopPath(EmergencyParser.UNKNOWN, tested=True)
    assert lines == ["M105", "M0 P2000"]


@pytest.mark.parametrize("said", [b"", b"ok\n", b"T:20.0 /0.0 B:20 /0.0\n", b"\xff\xfe\n"])
def test_without_word_about_the_heaters_nothing_is_tried(said: bytes) -> None:
    found, lines = trial_on(lambda line: said)
    assert found == UNTESTED
    assert lines == ["M105"]


def test_a_lone_ok_of_somebody_else_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_trial, "WAIT_S", 1.0)

    def answers(line: str) -> bytes:
        return {"M105": COLD, "M108": b"ok\n"}.get(line, b"")

    assert trial_on(answers)[0].parser is EmergencyParser.ABSENT


def test_a_firmware_that_falls_silent_ends_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    found, lines = trial_on(lambda line: COLD if line == "M105" else b"")
    assert found.parser is EmergencyParser.ABSENT
    assert lines.count("M108") == stop_trial.ATTEMPTS
    assert time.monotonic() - began < LONGEST_S + SLACK_S
