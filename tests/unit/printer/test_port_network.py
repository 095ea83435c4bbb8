"""Ports behind raw TCP and behind an RFC 2217 server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
import serial
from serial import rfc2217

from agent.domain.errors import PortError
from agent.printer.port import open_port
from tests.unit.printer.port_peers import WAIT_S, eventually, lost, read_all

# pyserial 3.5 calls Thread.setDaemon and setName, deprecated since Python 3.10.
QUIET_PYSERIAL = pytest.mark.filterwarnings("ignore:set(Daemon|Name)\\(\\) is deprecated:DeprecationWarning")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(WAIT_S)
        yield made


def test_raw_tcp(listener: socket.socket) -> None:
    spec = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    port = open_port(spec, 115200)
    server, _ = listener.accept()
    assert port.identity == port.spec == spec
    assert port.read() == b""
    assert port.write(b"M105\n") == 5
    server.settimeout(WAIT_S)
    assert server.recv(5) == b"M105\n"
    server.sendall(b"ok\n")
    assert read_all(port, 3) == b"ok\n"
    port.flush_output()
    with pytest.raises(PortError) as failure:
        port.pulse_dtr()
    assert failure.value.code == "port_unsupported"
    server.close()
    assert lost(port.read).code == "port_lost"
    assert lost(lambda: port.write(b"x")).code == "port_lost"
    port.close()
    port.close()


def test_a_full_tcp_line_takes_nothing(listener: socket.socket) -> None:
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}", 115200)
    server, _ = listener.accept()
    # The kernel's buffers grow for a while before they are full.
    eventually(lambda: not any(port.write(b"x" * 65536) for _ in range(200)))
    assert port.write(b"M105\n") == 0
    port.close()
    server.close()


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_nobody_at_the_address(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        number = closed.getsockname()[1]
    with pytest.raises(PortError) as failure:
        open_port(f"{scheme}://127.0.0.1:{number}", 115200)
    assert failure.value.code == "port_missing"
    assert str(number) in failure.value.message


class DeviceServer:
    """pyserial's RFC 2217 server side in front of an in-memory device."""

    def __init__(self, listener: socket.socket) -> None:
        self.device = serial.serial_for_url("loop://", timeout=0, baudrate=9600)
        self.listener = listener
        self.connection: socket.socket | None = None
        self.dtr: list[bool] = []
        self.received = b""
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def write(self, data: bytes) -> None:
        assert self.connection is not None
        self.connection.sendall(data)

    def say(self, data: bytes) -> None:
        self.write(b"".join(self.manager.escape(data)))

    def _serve(self) -> None:
        self.connection, _ = self.listener.accept()
        self.manager = rfc2217.PortManager(cast("Any", self.device), cast("Any", self))
        self.connection.settimeout(0.05)
        while True:
            try:
                data = self.connection.recv(1024)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            self.received += b"".join(self.manager.filter(data))
            if not self.dtr or self.dtr[-1] != self.device.dtr:
                self.dtr.append(self.device.dtr)

    def hang_up(self) -> None:
        assert self.connection is not None
        self.connection.shutdown(socket.SHUT_RDWR)
        self.thread.join(WAIT_S)
        self.connection.close()


@QUIET_PYSERIAL
def test_rfc2217(listener: socket.socket) -> None:
    server = DeviceServer(listener)
    spec = f"rfc2217://127.0.0.1:{listener.getsockname()[1]}"
    port = open_port(spec, 250000)
    assert port.identity == spec
    assert server.device.baudrate == 250000
    everything = bytes(range(256))
    assert port.write(everything) == 256
    eventually(lambda: server.received == everything)
    server.say(everything)
    assert read_all(port, 256) == everything
    server.dtr.clear()
    port.pulse_dtr()
    eventually(lambda: server.dtr[-2:] == [False, True])
    server.hang_up()
    assert lost(port.read).code == "port_lost"
    port.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rfc2217")]


@QUIET_PYSERIAL
def test_a_raw_server_is_no_rfc2217_server(listener: socket.socket) -> None:
    with pytest.raises(PortError) as failure:
        open_port(f"rfc2217://127.0.0.1:{listener.getsockname()[1]}", 115200)
    assert failure.value.code == "port_unsupported"
    assert "socket://" in failure.value.remedy


@QUIET_PYSERIAL
def test_closing_an_rfc2217_port_ends_its_threads(listener: socket.socket) -> None:
    server = DeviceServer(listener)
    port = open_port(f"rfc2217://127.0.0.1:{listener.getsockname()[1]}", 115200)
    port.close()
    server.thread.join(WAIT_S)
    assert not server.thread.is_alive()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rfc2217")]
    assert server.connection is not None
    server.connection.close()
