"""The virtual printer as a process behind a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.sim.cli import DIALECT_NAMES, THERMAL_FAULTS, simulate
from agent.sim.dialects import DIALECTS
from agent.sim.heaters import ThermalFault
from tests.unit.sim.firmware_rig import framed

DEADLINE_S = 10.0


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "never happened"
        select.select([], [], [], 0.002)


class Host:
    """A bare serial host on the printer's link."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._text = b""

    def write(self, data: bytes) -> None:
        os.write(self.fd, data)

    def line(self, limit_s: float = DEADLINE_S) -> str:
        end = time.monotonic() + limit_s
        while b"\n" not in self._text:
            left = end - time.monotonic()
            assert left > 0, f"no line; so far {self._text!r}"
            if select.select([self.fd], [], [], left)[0]:
                data = os.read(self.fd, 4096)
                assert data, "the port is gone"
                self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def ask(self, command: str | bytes) -> str:
        self.write(command if isinstance(command, bytes) else command.encode() + b"\n")
        return self.line()

    def silent(self, seconds: float = 0.1) -> bool:
        return not self._text and not select.select([self.fd], [], [], seconds)[0]

    def close(self) -> None:
        os.close(self.fd)


class Printer:
    """The server process with its files."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.link, self.ledger = folder / "printer", folder / "ledger.jsonl"
        self.stats, self.control = folder / "stats.json", folder / "control"
        command = [
            sys.executable,
            "-m",
            "agent.sim",
            "--json",
            "--link",
            str(self.link),
            "--ledger",
            str(self.ledger),
        ]
        command += ["--stats", str(self.stats), "--control", str(self.control), "--speed", "20", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        self._hosts: list[Host] = []

    def open(self) -> Host:
        host = Host(self.link)
        self._hosts.append(host)
        return host

    def tell(self, word: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(self.control))
            client.sendall(word.encode() + b"\n")
            return client.makefile().readline().strip()

    def stop(self) -> dict[str, object]:
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        return dict(json.loads(self.stats.read_text()))

    def close(self) -> None:
        for host in self._hosts:
            with contextlib.suppress(OSError):
                host.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Printer]]:
    printers: list[Printer] = []

    def begin(*options: str) -> Printer:
        printers.append(Printer(tmp_path, *options))
        return printers[-1]

    yield begin
    for printer in printers:
        printer.close()


def test_a_conversation_its_ledger_and_a_clean_end(start: Callable[..., Printer]) -> None:
    printer = start()
    assert printer.ready["port"] == str(printer.link)
    assert printer.ready["pid"] == printer.process.pid
    host = printer.open()
    assert host.ask("M105").startswith("ok T:")
    assert host.ask(framed(1, "M110 N1")) == "ok"
    assert host.ask(framed(2, "G1 X10 F6000")) == "ok"
    assert host.ask(framed(3, "M400")) == "ok"
    summary = printer.stop()
    assert printer.process.returncode == 0
    assert not os.path.lexists(printer.link)
    assert not printer.control.exists()
    commands = [json.loads(line) for line in printer.ledger.read_text().splitlines()]
    assert [c["cmd"] for c in commands if c.get("src") == "job"] == ["G1 X10 F6000", "M400"]
    assert summary["job_lines"] == 2
    assert float(str(summary["actual_s"])) > 0


def test_late_openers_see_no_banner_and_the_board_keeps_its_state(start: Callable[..., Printer]) -> None:
    printer = start()
    first = printer.open()
    assert first.silent(), "the greeting was said before anybody listened"
    assert first.ask(framed(1, "M104 S100")) == "ok"
    first.write(b"M503\n")
    assert first.line().startswith("echo:")
    first.close()
    eventually(lambda: "port_close" in printer.ledger.read_text())
    second = printer.open()
    assert second.silent(), "what the first host left unread must not reach the second"
    assert second.ask("M110") == "Line: 1"


def test_reset_on_open_greets_every_host(start: Callable[..., Printer]) -> None:
    printer = start("--reset-on-open")
    first = printer.open()
    assert first.line() == "start"
    first.close()
    eventually(lambda: "port_close" in printer.ledger.read_text())
    assert printer.open().line() == "start"


def test_an_exclusive_lock_does_not_outlive_its_host(start: Callable[..., Printer]) -> None:
    printer = start()
    first = printer.open()
    fcntl.ioctl(first.fd, termios.TIOCEXCL)
    assert first.ask("G21") == "ok"
    first.close()
    eventually(lambda: "port_close" in printer.ledger.read_text())

    def can_open() -> bool:
        try:
            host = printer.open()
        except OSError:
            return False
        return host.ask("G21") == "ok"

    eventually(can_open)


def test_pulling_the_cable_and_putting_it_back(start: Callable[..., Printer]) -> None:
    printer = start()
    host = printer.open()
    assert host.ask(framed(1, "G21")) == "ok"
    assert printer.tell("unplug") == "ok"
    assert not os.path.lexists(printer.link)
    with pytest.raises((OSError, AssertionError)):
        host.ask("M105")
    assert printer.tell("replug") == "ok"
    again = printer.open()
    assert again.ask("M110") == "Line: 1"


def test_a_planned_unplug_comes_back_by_itself(start: Callable[..., Printer]) -> None:
    printer = start("--unplug-after-lines", "2", "--replug-after", "0.3")
    host = printer.open()
    host.write(framed(1, "G21") + framed(2, "G21"))
    eventually(lambda: not os.path.lexists(printer.link))
    eventually(lambda: os.path.lexists(printer.link))
    assert printer.open().ask("M110") == "Line: 2"


def test_control_words(start: Callable[..., Printer]) -> None:
    printer = start()
    host = printer.open()
    host.write(b"M0 wait\n")
    assert [host.line() for _ in range(4)][1] == "//action:prompt_begin wait"
    assert printer.tell("button") == "ok"
    assert host.line() == "ok"
    assert printer.tell("nonsense").startswith("error: no command 'nonsense'; there are reset, unplug")
    assert json.loads(printer.tell("stats"))["lines_executed"] == 1
    assert printer.tell("reset") == "ok"
    assert host.line() == "start"
    assert printer.tell("dead") == "ok"
    while not host.silent():
        host.line()
    host.write(b"M105\n")
    assert host.silent()
    assert printer.tell("quit") == "ok"
    assert printer.process.wait(DEADLINE_S) == 0


def test_a_thermal_fault_from_outside(start: Callable[..., Printer]) -> None:
    printer = start("--speed", "500")
    host = printer.open()
    assert host.ask("M104 S200") == "ok"
    assert printer.tell("runaway") == "ok"
    assert host.line() == "Error:Heating failed, system stopped! Heater_ID: E0"


def test_a_killed_simulator_has_written_its_ledger(start: Callable[..., Printer]) -> None:
    printer = start()
    host = printer.open()
    for n in range(1, 51):
        assert host.ask(framed(n, f"M73 P{n}")) == "ok"
    eventually(lambda: '"cmd":"M73 P50"' in printer.ledger.read_text())
    printer.process.send_signal(signal.SIGUSR1)
    eventually(printer.stats.exists)
    assert json.loads(printer.stats.read_text())["job_lines"] == 50
    printer.process.kill()
    printer.process.wait(DEADLINE_S)
    assert len(printer.ledger.read_text().splitlines()) == 52


def test_a_paced_wire_takes_its_time(start: Callable[..., Printer]) -> None:
    printer = start("--baud", "115200")
    host = printer.open()
    while not host.silent(0.3):
        host.line()  # the end of the greeting: it takes a tenth of a second to pass the wire
    began = time.monotonic()
    host.write(b"".join(framed(n, "M117 " + "x" * 60) for n in range(1, 4)))
    assert [host.line() for _ in range(3)] == ["ok"] * 3
    assert time.monotonic() - began >= 3 * 70 * 10 / 115200


def test_a_stuck_link_is_replaced_and_a_foreign_file_is_not(
    start: Callable[..., Printer], tmp_path: Path
) -> None:
    (tmp_path / "printer").symlink_to("/dev/pts/99999")
    assert start().open().ask("G21") == "ok"


class TestCommandLine:
    def test_the_names_it_offers_are_the_ones_there_are(self) -> None:
        assert list(DIALECTS) == list(DIALECT_NAMES)
        assert [fault.value for fault in ThermalFault] == list(THERMAL_FAULTS)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--dialect", "marlin21"], "did you mean 'marlin-2.1'"),
            (["--dialect", "Prusa"], "did you mean 'prusa-mk3'"),
            (["--drop-ok", "2"], "--drop-ok"),
            (["--speed", "0"], "--speed"),
        ],
    )
    def test_wrong_options_are_explained(self, options: list[str], message: str) -> None:
        result = CliRunner().invoke(simulate, options)
        assert result.exit_code == 2
        assert message in result.output

    def test_a_file_in_the_way_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "printer").write_text("precious")
        result = CliRunner().invoke(simulate, ["--link", str(tmp_path / "printer")])
        assert result.exit_code == 1
        assert "exists and is not a symbolic link" in result.output
        assert (tmp_path / "printer").read_text() == "precious"

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(simulate, ["--link", str(tmp_path / "no" / "printer")])
        assert result.exit_code == 1
        assert "does not exist" in result.output

    def test_a_link_to_something_else_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "other").write_text("x")
        (tmp_path / "printer").symlink_to(tmp_path / "other")
        result = CliRunner().invoke(simulate, ["--link", str(tmp_path / "printer")])
        assert result.exit_code == 1
        assert "no pseudo-terminal" in result.output
