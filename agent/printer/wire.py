"""Blocking reads and writes on a port, for the few lines before the printer thread takes over."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterator

from agent.domain.errors import PortError
from agent.printer.port import Port
from agent.printer.replies import Ok, Reply, parse_line
from agent.printer.transcript import Transcript

WRITE_S = 2.0
"""A board that lives takes bytes within milliseconds; one that hangs on the USB itself takes none, ever."""


class Wire:
    """One open port and the log of what crosses it. One thread at a time."""

    def __init__(self, port: Port, transcript: Transcript) -> None:
        self._port = port
        self._transcript = transcript
        self._poller = select.poll()
        self._poller.register(port.fileno(), select.POLLIN)
        self._rest = b""
        self._unread: deque[Reply] = deque()

    def write(self, data: bytes) -> None:
        """Send everything. Raises PortError, `port_silent` when the far end takes nothing for WRITE_S."""
        if data:
            self._transcript.sent(data, time.monotonic())
        while data:
            taken = self._port.write(data)
            data = data[taken:]
            if data and not taken and not self._has_room():
                # Unsent bytes would hold the closing of the port up.
                self._port.flush_output()
                raise PortError(
                    f"{self._port.spec}: nothing is taken from us",
                    code="port_silent",
                    remedy="the printer's processor may hang: switch it off and on",
                )

    def _has_room(self) -> bool:
        poller = select.poll()
        poller.register(self._port.fileno(), select.POLLOUT)
        return bool(poller.poll(WRITE_S * 1000))

    def read(self, timeout_s: float) -> bytes:
        """Return what came within `timeout_s`; b"" when nothing did. Raises PortError."""
        if not self._poller.poll(timeout_s * 1000):
            return b""
        data = self._port.read()
        self._transcript.received(data, time.monotonic())
        return data

    def replies(self, timeout_s: float) -> Iterator[Reply]:
        """Yield what the printer says until `timeout_s` from now; the rest is for the next caller. Raises PortError."""
        end = time.monotonic() + timeout_s
        while True:
            while self._unread:
                yield self._unread.popleft()
            left = end - time.monotonic()
            if left <= 0:
                return
            *lines, self._rest = (self._rest + self.read(left)).split(b"\n")
            for line in lines:
                self._unread += parse_line(line)

    def wait_ok(self, timeout_s: float) -> Ok | None:
        """Return the first ok within `timeout_s`, or None; the other replies are dropped. Raises PortError."""
        return next((reply for reply in self.replies(timeout_s) if isinstance(reply, Ok)), None)
