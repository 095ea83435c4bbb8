"""The firmware model behind real pseudo-terminals, in a thread of the test process."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable
from typing import Any

from agent.printer.port import Port, open_port
from agent.sim.firmware import Firmware, FirmwareConfig

LIMIT_S = 20.0


class SimPrinter:
    """Serves one firmware; `plug` gives a new port to it, `unplug` pulls the cable."""

    def __init__(self, **settings: Any) -> None:
        self.firmware = Firmware(FirmwareConfig(**{"speed": 200.0, **settings}))
        self.lock = threading.Lock()
        self._master = -1
        self._unsent = b""
        self._hung_up = False  # the host has closed the port, and everything it wrote was read
        self._ended = threading.Event()
        self.firmware.boot(time.monotonic())
        self.firmware.transmit(time.monotonic() + 0.001)
        self._thread = threading.Thread(target=self._serve, name="sim", daemon=True)
        self._thread.start()

    def plug(self) -> Port:
        """Open the printer's port, on a fresh pseudo-terminal."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        port = open_port(os.ttyname(slave), 115200)
        os.close(slave)
        with self.lock:
            self._drop()
            self._master, self._hung_up = master, False
        return port

    def unplug(self) -> None:
        with self.lock:
            self._drop()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(LIMIT_S)
        self.unplug()

    def last_line(self) -> int:
        with self.lock:
            return self.firmware.board.counter.last

    def is_left(self) -> bool:
        """Whether the host is gone and everything it wrote has been executed."""
        with self.lock:
            return self._hung_up and self.firmware.is_at_rest

    def executed(self, below: int = 1_000_000) -> list[bytes]:
        """What was executed under line numbers below a limit: the job's lines."""
        with self.lock:
            entries = list(self.firmware.executed)
        return [e.cmd.encode() for e in entries if e.src == "job" and e.n is not None and e.n < below]

    def host_commands(self) -> list[str]:
        with self.lock:
            entries = list(self.firmware.executed)
        return [e.cmd for e in entries if e.n is None or e.n >= 1_000_000]

    def do(self, action: Callable[[Firmware, float], None]) -> None:
        """Something that happens to the board now."""
        with self.lock:
            action(self.firmware, time.monotonic())

    def _drop(self) -> None:
        if self._master >= 0:
            os.close(self._master)
        self._master, self._unsent = -1, b""

    def _serve(self) -> None:
        while not self._ended.is_set():
            with self.lock:
                master = self._master
                deadline = self.firmware.deadline()
            wait_s = 0.005 if deadline is None else min(0.005, max(0.0, deadline - time.monotonic()))
            if master < 0:
                self._ended.wait(0.002)
            else:
                with contextlib.suppress(OSError, ValueError):
                    select.select([master], [], [], wait_s)
            with self.lock:
                self._exchange()

    def _exchange(self) -> None:
        now = time.monotonic()
        data = b""
        if self._master >= 0:
            try:
                data = os.read(self._master, 4096)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EIO):
                    raise
                self._hung_up = error.errno == errno.EIO
        self.firmware.receive(data, now)
        said = self._unsent + self.firmware.transmit(now)
        self._unsent = b""
        if said and self._master >= 0:
            try:
                self._unsent = said[os.write(self._master, said) :]
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    self._unsent = said
                elif error.errno != errno.EIO:
                    raise
