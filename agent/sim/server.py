"""The server: one firmware model behind one pseudo-terminal, in real time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.sim.control import ControlSocket
from agent.sim.firmware import Firmware, FirmwareConfig
from agent.sim.heaters import ThermalFault
from agent.sim.ledger import Ledger
from agent.sim.pty_port import PtyPort

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPEN_CHECK_S = 0.005  # a pty does not announce an opener: look this often while nobody is attached
FLUSH_EVERY_S = 0.1  # how much of the ledger a kill -9 may lose
PACED_AHEAD_BYTES = 256  # read this far ahead of a paced wire: the transmit buffer of a USB-serial chip
USB_AHEAD_BYTES = 4096  # the same for a native USB port
THROTTLED_CHECK_S = 0.002  # look again when the board holds the host up

_BREAKS = {
    "runaway": ThermalFault.RUNAWAY,
    "disconnected": ThermalFault.DISCONNECTED,
    "stuck": ThermalFault.STUCK,
    "mosfet": ThermalFault.MOSFET,
    "mend": ThermalFault.NONE,
}
CONTROL_WORDS = ("reset", "unplug", "replug", "dead", "button", "crash", *_BREAKS, "stats", "quit")


@dataclass(frozen=True, slots=True)
class ServerPaths:
    """Where things are: the link hosts open, and what to write (None: nothing)."""

    link: Path
    ledger: Path | None = None
    stats: Path | None = None
    control: Path | None = None


class Server:
    """Owns the pty, the control socket and the clock."""

    def __init__(
        self, config: FirmwareConfig, paths: ServerPaths, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._port = PtyPort(paths.link)
        self._port.check_link()
        self._ledger = Ledger(paths.ledger, keep_events=False)
        self.firmware = Firmware(replace(config, keep_executed=False), self._ledger)
        self._ahead = PACED_AHEAD_BYTES if config.baud else USB_AHEAD_BYTES
        self._control: ControlSocket | None = None
        self._stopping = False
        self._stats_wanted = False
        self._flushed_at = 0.0
        self._waker, self._wakened = socket.socketpair()

    @property
    def device(self) -> str:
        """The pty behind the link."""
        return self._port.device

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM, SIGINT or `quit`; `on_ready` is called once the port can be opened."""
        self._waker.settimeout(0)
        self._wakened.settimeout(0)
        before = {
            s: signal.signal(s, self._on_signal) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        }
        wakeup = signal.set_wakeup_fd(self._waker.fileno())
        try:
            if self._paths.control is not None:
                self._control = ControlSocket(self._paths.control, self._answer)
            self._port.open()
            now = self._clock()
            self.firmware.host_open = False
            self.firmware.boot(now)
            on_ready()
            while not self._stopping:
                self._turn()
        finally:
            signal.set_wakeup_fd(wakeup)
            try:
                self._close()
            finally:  # until here a second signal must not cut the ledger off
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _close(self) -> None:
        self._ledger.close()
        self._write_stats()  # behind the ledger: where there is a summary the ledger is whole
        self._port.close()
        if self._control is not None:
            self._control.close()
        self._waker.close()
        self._wakened.close()

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGUSR1:
            self._stats_wanted = True
        else:
            self._stopping = True

    # --- one turn of the loop ------------------------------------------------------------------------------

    def _turn(self) -> None:
        firmware, port = self.firmware, self._port
        backlog = firmware.backlog_bytes()
        readable = [self._wakened.fileno()]
        if self._control is not None:
            readable += self._control.descriptors()
        listening = port.fd >= 0 and firmware.host_open
        if listening and backlog < self._ahead:
            readable.append(port.fd)
        writable = [port.fd] if listening and port.has_unsent else []
        # select and not poll: its time-outs have microseconds, and a line at 250,000 baud takes 1.5 ms
        ready, _, _ = select.select(readable, writable, [], self._timeout(backlog))
        now = self._clock()
        for fd in ready:
            if fd == self._wakened.fileno():
                with contextlib.suppress(BlockingIOError):
                    self._wakened.recv(64)
            elif fd != port.fd and self._control is not None:
                self._control.ready(fd)
        if port.fd >= 0:
            self._serve_port(now, self._ahead - backlog)
        firmware.advance(now)
        self._follow_cable()
        if self._stats_wanted:
            self._stats_wanted = False
            self._write_stats()
        if now - self._flushed_at > FLUSH_EVERY_S:
            self._flush(now)

    def _flush(self, now: float) -> None:
        self._flushed_at = now
        self._ledger.flush()

    def _timeout(self, backlog: int) -> float | None:
        now = self._clock()
        deadline = self.firmware.deadline()
        waits = [FLUSH_EVERY_S if self._ledger.pending else 5.0]
        if deadline is not None:
            waits.append(deadline - now)
        if self._port.fd >= 0 and not self.firmware.host_open:
            waits.append(OPEN_CHECK_S)
        elif backlog >= self._ahead:
            waits.append(THROTTLED_CHECK_S)
        return max(0.0, min(waits))

    def _serve_port(self, now: float, room: int) -> None:
        firmware, port = self.firmware, self._port
        is_open, has_data = port.state()
        if not firmware.host_open and (is_open or has_data):
            firmware.open_port(now)
        if not firmware.host_open:
            firmware.transmit(now)
            return
        if has_data and (room > 0 or not is_open):
            firmware.receive(port.read(max(room, 1) if is_open else USB_AHEAD_BYTES), now)
        data = firmware.transmit(now)
        if not firmware.cable:
            return
        if is_open:
            if data or port.has_unsent:
                port.write(data)
        elif not port.state()[1]:  # closed, and everything the host wrote has been read
            firmware.close_port(now)
            port.forget()

    def _follow_cable(self) -> None:
        if self.firmware.cable and self._port.fd < 0:
            self._port.open()
        elif not self.firmware.cable and self._port.fd >= 0:
            self._port.close()

    # --- control -------------------------------------------------------------------------------------------

    def _answer(self, word: str) -> str:
        firmware, now = self.firmware, self._clock()
        if word == "stats":
            self._write_stats()
            return json.dumps(firmware.summary(now))
        actions: dict[str, Callable[[float], None]] = {
            "reset": firmware.reset,
            "unplug": firmware.unplug,
            "replug": firmware.replug,
            "dead": firmware.die,
            "button": firmware.press_button,
            "crash": firmware.crash,
        }
        if word == "quit":
            self._stopping = True
        elif word in actions:
            actions[word](now)
        elif word in _BREAKS:
            firmware.break_heater(_BREAKS[word], now)
        else:
            return f"error: no command {word!r}; there are {', '.join(CONTROL_WORDS)}"
        self._follow_cable()
        return "ok"

    def _write_stats(self) -> None:
        self._ledger.flush()
        path = self._paths.stats
        if path is None:
            return
        text = json.dumps(self.firmware.summary(self._clock()), indent=1) + "\n"
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(path)
