"""Ports on pseudo-terminals: opening, losing, adopting, refusing."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from agent.domain.errors import PortError
from agent.printer.port import TtyPort, adopt_port, open_port
from agent.printer.port.holders import holders
from tests.unit.printer.port_peers import (
    WAIT_S,
    Terminal,
    connected,
    eventually,
    lost,
    needs_odd_rates,
    read_all,
)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.hang_up()


def speeds(fd: int) -> tuple[int, int]:
    values = struct.unpack("4IB19s2I", fcntl.ioctl(fd, 0x802C542A, bytes(44)))
    return values[-2], values[-1]


def test_bytes_go_both_ways_unchanged(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    everything = bytes(range(256))
    assert port.write(everything) == 256
    assert terminal.heard(256) == everything
    terminal.say(everything)
    assert read_all(port, 256) == everything
    port.close()


def test_reading_without_data_returns_at_once(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    assert port.read() == b""
    assert port.read() == b""
    port.close()


ODD_RATES = [pytest.param(rate, marks=needs_odd_rates) for rate in (250_000, 123_456, 500_000, 1_000_000)]


@pytest.mark.parametrize("baud", [9600, 115200, 230400, *ODD_RATES])
def test_rates_survive_the_preparation(terminal: Terminal, baud: int) -> None:
    port = open_port(terminal.path, baud)
    assert port.baud == baud
    assert speeds(port.fileno()) == (baud, baud)
    port.close()


def test_closing_will_not_drop_dtr(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    assert not termios.tcgetattr(port.fileno())[2] & termios.HUPCL
    port.close()
    again = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
    assert not termios.tcgetattr(again)[2] & termios.HUPCL
    os.close(again)


@pytest.mark.parametrize("baud", [0, -1, 1200, 5_000_000])
def test_rates_no_printer_has_are_refused(terminal: Terminal, baud: int) -> None:
    with pytest.raises(PortError) as failure:
        open_port(terminal.path, baud)
    assert failure.value.code == "port_unsupported"
    assert str(baud) in failure.value.message


def test_writing_into_a_full_line_takes_nothing_and_flushing_empties_it(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    # The kernel moves bytes on to the master's side in the background, so "full" takes a few rounds.
    eventually(lambda: not any(port.write(b"x" * 4096) for _ in range(50)))
    assert port.write(b"x" * 4096) == 0
    port.flush_output()
    taken: list[int] = []

    def takes_a_line() -> bool:
        taken.append(port.write(b"M112\n"))
        return taken[-1] > 0

    eventually(takes_a_line)
    assert taken[-1] == 5
    port.close()


def test_a_hang_up_is_told_by_read_and_by_write(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    terminal.hang_up()
    for action in (port.read, lambda: port.write(b"M105\n")):
        error = lost(action)
        assert error.code == "port_lost"
        assert terminal.path in error.message
    port.flush_output()
    port.close()


def test_the_last_words_before_a_hang_up_are_read(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    terminal.say(b"Error:Printer halted. kill() called!\n")
    assert select.select([port.fileno()], [], [], WAIT_S)[0]
    assert read_all(port, 37) == b"Error:Printer halted. kill() called!\n"
    terminal.hang_up()
    assert lost(port.read).code == "port_lost"
    port.close()


def test_a_closed_port_is_lost_and_closing_twice_is_fine(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    port.close()
    port.close()
    with pytest.raises(PortError) as failure:
        port.read()
    assert failure.value.code == "port_lost"
    assert "closed" in failure.value.message
    assert port.fileno() == -1


@pytest.mark.parametrize("error", [errno.EIO, errno.ENXIO, errno.ENODEV, errno.EPIPE])
def test_every_error_of_the_driver_is_a_lost_port(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal, error: int
) -> None:
    port = open_port(terminal.path, 115200)

    def broken(*_: Any) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("agent.printer.port.tty.os.read", broken)
    monkeypatch.setattr("agent.printer.port.tty.os.write", broken)
    for action in (port.read, lambda: port.write(b"x")):
        with pytest.raises(PortError) as failure:
            action()
        assert failure.value.code == "port_lost"
    monkeypatch.undo()
    port.close()


def test_a_pseudo_terminal_has_no_dtr(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    with pytest.raises(PortError) as failure:
        port.pulse_dtr()
    assert failure.value.code == "port_unsupported"
    port.close()


def test_dtr_goes_off_and_on_again(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    calls: list[tuple[int, int]] = []

    def ioctl(fd: int, request: int, data: bytes) -> bytes:
        calls.append((request, struct.unpack("I", data)[0]))
        return data

    monkeypatch.setattr("agent.printer.port.tty.fcntl.ioctl", ioctl)
    began = time.monotonic()
    port.pulse_dtr()
    assert calls == [(termios.TIOCMBIC, termios.TIOCM_DTR), (termios.TIOCMBIS, termios.TIOCM_DTR)]
    assert 0.05 <= time.monotonic() - began < 2
    monkeypatch.undo()
    port.close()


def test_dtr_of_an_unplugged_device_is_a_lost_port(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    port = open_port(terminal.path, 115200)

    def gone(*_: Any) -> bytes:
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr("agent.printer.port.tty.fcntl.ioctl", gone)
    with pytest.raises(PortError) as failure:
        port.pulse_dtr()
    assert failure.value.code == "port_lost"
    monkeypatch.undo()
    port.close()


@needs_odd_rates
def test_adopting_keeps_what_came_meanwhile(terminal: Terminal) -> None:
    first = open_port(terminal.path, 250000)
    kept = os.dup(first.fileno())
    first.close()
    terminal.say(b"ok\nok\n")
    port = adopt_port(kept, terminal.path, 250000, "by-id/printer")
    assert (port.spec, port.baud, port.identity) == (terminal.path, 250000, "by-id/printer")
    assert read_all(port, 6) == b"ok\nok\n"
    assert port.read() == b""
    assert speeds(port.fileno()) == (250000, 250000)
    port.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept)


def test_adopting_a_socket() -> None:
    server, client = connected()
    port = adopt_port(client.detach(), "socket://printer:23", 115200, "socket://printer:23")
    server.sendall(b"ok\n")
    assert read_all(port, 3) == b"ok\n"
    port.close()
    server.close()


def test_what_cannot_be_adopted_is_said(tmp_path: Path) -> None:
    plain = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    for fd in (plain, 9999):
        with pytest.raises(PortError) as failure:
            adopt_port(fd, "/dev/ttyUSB0", 115200, "x")
        assert failure.value.code == "port_lost"
    os.close(plain)


def test_a_missing_device_lists_the_others() -> None:
    with pytest.raises(PortError) as failure:
        open_port("/dev/fabunit-nothing", 115200)
    assert failure.value.code == "port_missing"
    assert "/dev/fabunit-nothing" in failure.value.message


@pytest.mark.parametrize("spec", ["a file", "a folder", "ftp://printer", "socket://printer", "rfc2217://:0"])
def test_what_is_no_serial_port_is_said(spec: str, tmp_path: Path) -> None:
    if spec == "a file":
        (tmp_path / "file").touch()
        spec = str(tmp_path / "file")
    elif spec == "a folder":
        spec = str(tmp_path)
    with pytest.raises(PortError) as failure:
        open_port(spec, 115200)
    assert failure.value.code == "port_unsupported"
    assert spec in failure.value.message


HOLDER = """
import sys, serial
port = serial.Serial(sys.argv[1], 115200, exclusive=True)
open("/proc/self/comm", "w").write(sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("program", "remedy"),
    [("OctoPrint", "end the other print host"), ("fabunit", "systemctl stop 'fabunit@*'")],
)
def test_a_busy_port_names_its_holder(terminal: Terminal, program: str, remedy: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, terminal.path, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(PortError) as failure:
            open_port(terminal.path, 115200)
        assert process.pid in [holder.pid for holder in holders(Path(terminal.path))]
        process.communicate()
    assert failure.value.code == "port_busy"
    assert f"{program} (pid {process.pid})" in failure.value.message
    assert remedy in failure.value.remedy
    open_port(terminal.path, 115200).close()


def test_our_own_port_keeps_others_out(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    with pytest.raises(serial.SerialException):
        serial.Serial(terminal.path, 115200, exclusive=True)
    port.close()


def test_our_own_port_is_closed_to_programs_that_ask_for_no_lock(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    try:
        exclusive = fcntl.ioctl(port.fileno(), 0x80045440, bytes(4))  # TIOCGEXCL
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.ENOSYS):
            raise
        pytest.skip("this system does not know TIOCGEXCL")
    finally:
        port.close()
    assert struct.unpack("i", exclusive) == (1,)


def test_a_denied_port_names_the_group(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr("serial.Serial", denied)
    with pytest.raises(PortError) as failure:
        open_port(terminal.path, 115200)
    assert failure.value.code == "port_denied"
    assert terminal.path in failure.value.message
    assert "usermod -aG" in failure.value.remedy or "udev rule" in failure.value.remedy


def test_a_rate_the_driver_refuses(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise ValueError("Failed to set custom baud rate (250001)")

    monkeypatch.setattr("serial.Serial", refused)
    with pytest.raises(PortError) as failure:
        open_port(terminal.path, 250001)
    assert failure.value.code == "port_unsupported"
    assert "250001" in failure.value.message


def test_a_tty_port_can_be_polled(terminal: Terminal) -> None:
    port = open_port(terminal.path, 115200)
    assert isinstance(port, TtyPort)
    poller = select.poll()
    poller.register(port.fileno(), select.POLLIN)
    assert poller.poll(0) == []
    terminal.say(b"ok\n")
    assert poller.poll(WAIT_S * 1000)
    port.read()
    terminal.hang_up()
    ((_, events),) = poller.poll(WAIT_S * 1000)
    assert events & (select.POLLHUP | select.POLLERR | select.POLLIN)
    port.close()
