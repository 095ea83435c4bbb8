"""The blocking side of a port: nothing is lost between two questions, nothing blocks for ever."""

from __future__ import annotations

import time

import pytest

from agent.domain.errors import PortError
from agent.printer import wire as wire_module
from agent.printer.port import open_port
from agent.printer.replies import Ok, TemperatureReport
from agent.printer.transcript import Transcript
from agent.printer.wire import Wire
from tests.unit.printer.port_peers import Terminal


def test_replies_of_one_read_are_kept_for_the_next_question() -> None:
    terminal = Terminal()
    port = open_port(terminal.path, 115200)
    wire = Wire(port, Transcript())
    terminal.say(b"ok\nok T:20.0 /0.0\nok")
    assert wire.wait_ok(1.0) == Ok()
    assert wire.wait_ok(1.0) == Ok()
    assert isinstance(next(wire.replies(0.0)), TemperatureReport)
    assert wire.wait_ok(0.05) is None, "half a line is no reply"
    terminal.say(b"\n")
    assert wire.wait_ok(1.0) == Ok()
    port.close()
    terminal.hang_up()


def test_a_far_end_that_takes_nothing_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "WRITE_S", 0.1)
    terminal = Terminal()
    port = open_port(terminal.path, 115200)
    began = time.monotonic()
    with pytest.raises(PortError) as failure:
        Wire(port, Transcript()).write(b"x" * 1_000_000)
    assert failure.value.code == "port_silent"
    assert time.monotonic() - began < 5.0
    port.close()
    terminal.hang_up()
