"""Talks to a firmware model in memory and in virtual time."""

from __future__ import annotations

from functools import reduce
from itertools import count
from operator import xor
from typing import Any

from agent.sim.firmware import Firmware, FirmwareConfig

MAX_TURNS = 20_000  # events in one wait: more means that the model no longer lets time pass


def framed(number: int, text: str) -> bytes:
    """`text` as a numbered line with its checksum, computed without the simulator's own code."""
    body = f"N{number} {text}".encode()
    return body + b"*%d\n" % reduce(xor, body)


class Rig:
    """One booted firmware; `now` is the host's clock."""

    def __init__(self, **settings: Any) -> None:
        self.firmware = Firmware(FirmwareConfig(**settings))
        self.now = 100.0
        self._half = b""
        self.firmware.boot(self.now)
        self.boot_text = self.firmware.transmit(self.now).decode("utf-8", "replace")
        self.now += 1.0
        self.firmware.transmit(self.now)

    def send(self, line: str | bytes) -> list[str]:
        """Write a line (a str gets its line end) and return what is answered at once."""
        data = line if isinstance(line, bytes) else line.encode() + b"\n"
        self.firmware.receive(data, self.now)
        return self.heard()

    def heard(self) -> list[str]:
        """Lines that have completely arrived by now."""
        *lines, self._half = (self._half + self.firmware.transmit(self.now)).split(b"\n")
        return [line.decode("utf-8", "replace").removesuffix("\r") for line in lines]

    def wait(self, seconds: float) -> list[str]:
        """Let time pass, waking up only where the firmware asks for it, and return what was said."""
        return [line for _, line in self.timeline(seconds)]

    def timeline(self, seconds: float) -> list[tuple[float, str]]:
        """Like `wait`, with the time of each line since the call."""
        began, end = self.now, self.now + seconds
        found: list[tuple[float, str]] = []
        for turn in count():
            deadline = self.firmware.deadline()
            if deadline is None or deadline > end:
                break
            assert turn < MAX_TURNS, f"the firmware spins at {self.now}"
            self.now = max(self.now, deadline)
            found += [(self.now - began, line) for line in self.heard()]
        self.now = end
        return found + [(seconds, line) for line in self.heard()]

    def until_ok(self, limit_s: float = 10_000.0) -> list[str]:
        """Let time pass until an ok has been said."""
        lines = self.heard()
        end = self.now + limit_s
        while not any(line.startswith("ok") for line in lines):
            deadline = self.firmware.deadline()
            assert deadline is not None, f"the firmware has nothing more to say, after {lines}"
            assert deadline <= end, f"no ok within {limit_s} s"
            self.now = max(self.now, deadline)
            lines += self.heard()
        return lines

    def texts(self) -> list[str]:
        """The commands executed so far."""
        return [entry.cmd for entry in self.firmware.executed]

    def events(self, name: str) -> list[dict[str, object]]:
        """Ledger events of that name."""
        return [event for event in self.firmware.ledger.events if event["event"] == name]
