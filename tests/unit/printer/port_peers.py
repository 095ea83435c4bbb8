"""The far ends of ports: pseudo-terminals and sockets that tests play the printer on."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent.domain.errors import PortError
from agent.printer.port import Port

WAIT_S = 30.0
ODD_RATE = 250_000
# Linux asm-generic/termbits.h and ioctls.h.
_TERMIOS2 = struct.Struct("4IB19s2I")
_TCGETS2, _TCSETS2 = 0x802C542A, 0x402C542B
_CBAUD, _BOTHER = 0o010017, 0o010000


class Terminal:
    """A pseudo-terminal: the test plays the printer on `master`."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.path = os.ttyname(slave)
        os.close(slave)

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def heard(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            assert select.select([self.master], [], [], WAIT_S)[0], f"only {data!r} arrived"
            data += os.read(self.master, size - len(data))
        return data

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def takes_odd_rates() -> bool:
    """Whether this system sets speeds that termios has no name for: Linux does, an emulator may not."""
    master, slave = pty.openpty()
    try:
        values = list(_TERMIOS2.unpack(fcntl.ioctl(slave, _TCGETS2, bytes(_TERMIOS2.size))))
        values[2], values[-2], values[-1] = values[2] & ~_CBAUD | _BOTHER, ODD_RATE, ODD_RATE
        fcntl.ioctl(slave, _TCSETS2, _TERMIOS2.pack(*values))
    except OSError:
        return False
    finally:
        os.close(master)
        os.close(slave)
    return True


def read_all(port: Port, size: int) -> bytes:
    data = b""
    deadline = time.monotonic() + WAIT_S
    while len(data) < size and time.monotonic() < deadline:
        select.select([port.fileno()], [], [], 0.5)
        data += port.read()
    return data


def eventually(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def lost(action: Callable[[], Any]) -> PortError:
    """Repeat an action until the port is lost."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            action()
        except PortError as error:
            return error
        time.sleep(0.01)
    raise AssertionError("the port was not lost")


def connected() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return server, client


needs_odd_rates = pytest.mark.skipif(not takes_odd_rates(), reason="this system sets only the older speeds")
