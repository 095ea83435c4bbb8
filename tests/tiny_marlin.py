"""A few dozen lines of Marlin for the engine's tests: numbers, checksums, Resend, silent duplicates, a wire with faults.

Independent of both the agent and the virtual printer. Time is virtual: `Conversation` jumps from event to event.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from agent.printer.engine import LineEngine, Mode


@dataclass
class Faults:
    """Probabilities per line, by direction."""

    flip_in: float = 0.0
    flip_out: float = 0.0
    drop_ok: float = 0.0
    double_ok: float = 0.0
    drop_bytes: float = 0.0


@dataclass
class TinyMarlin:
    """Accepts, refuses and executes lines like Marlin 2.1.2: one ok each, silence for duplicates."""

    rng: random.Random
    faults: Faults = field(default_factory=Faults)
    last: int = 0
    executed: list[tuple[int | None, str]] = field(default_factory=list)
    ring: bytes = b""
    resets: int = 0

    def receive(self, data: bytes) -> list[bytes]:
        """Bytes arrive; returns the reply lines."""
        replies: list[bytes] = []
        *lines, self.ring = (self.ring + data).split(b"\n")
        for raw in lines:
            replies += self._line(self._damage_in(raw).decode("latin-1").strip())
        return [damaged for line in replies for damaged in self._damage_out(line)]

    def reset(self) -> None:
        self.last, self.ring = 0, b""
        self.resets += 1

    def _line(self, line: str) -> list[bytes]:
        if not line:
            return []
        if not line.startswith("N"):
            self.executed.append((None, line))
            return [b"ok"]
        digits = ""
        for character in line[1:]:
            if not character.isdigit():
                break
            digits += character
        number = int(digits or 0)
        body, star, check = line.rpartition("*")
        command = body[1 + len(digits) :].strip()
        if number != self.last + 1 and "M110" not in command:
            if number in (self.last, self.last - 1):
                return []
            return self._refuse("Line Number is not Last Line Number+1")
        if not star:
            return self._refuse("No Checksum with line number")
        value = 0
        for character in body.encode("latin-1"):
            value ^= character
        if not check.isdigit() or int(check) != value:
            return self._refuse("checksum mismatch")
        self.last = number
        if "M110" not in command:
            self.executed.append((number, command))
        return [b"ok"]

    def _refuse(self, why: str) -> list[bytes]:
        return [f"Error:{why}, Last Line: {self.last}".encode(), f"Resend: {self.last + 1}".encode(), b"ok"]

    def _damage_in(self, line: bytes) -> bytes:
        return self._flip(line, self.faults.flip_in)

    def _damage_out(self, line: bytes) -> list[bytes]:
        if line == b"ok":
            if self.rng.random() < self.faults.drop_ok:
                return []
            if self.rng.random() < self.faults.double_ok:
                return [line, line]
        return [self._flip(line, self.faults.flip_out)]

    def _flip(self, line: bytes, probability: float) -> bytes:
        if line and self.rng.random() < probability:
            where = self.rng.randrange(len(line))
            changed = line[where] ^ (1 << self.rng.randrange(7))
            if changed not in (10, 13):
                return line[:where] + bytes([changed]) + line[where + 1 :]
        return line


class Conversation:
    """Engine and firmware joined by wires with latency, in virtual time."""

    def __init__(self, engine: LineEngine, firmware: TinyMarlin, latency_s: float = 0.002) -> None:
        self.engine, self.firmware = engine, firmware
        self.latency_s = latency_s
        self.now = 100.0
        self.events: list[object] = []
        self.to_engine: deque[tuple[float, bytes]] = deque()
        self.to_firmware: deque[tuple[float, bytes]] = deque()
        self.bytes_out = 0

    def step(self) -> bool:
        """Do the next thing; False when nothing is left to do."""
        engine = self.engine
        data = engine.outgoing(self.now)
        if data:
            self.bytes_out += len(data)
            self.to_firmware.append((self.now + self.latency_s, data))
        self.events += engine.take_events()
        times = [queue[0][0] for queue in (self.to_engine, self.to_firmware) if queue]
        deadline = engine.deadline()
        if deadline is not None and engine.mode is not Mode.DEAD:
            times.append(deadline)
        if not times:
            return False
        self.now = max(self.now, min(times))
        if self.to_firmware and self.to_firmware[0][0] <= self.now:
            _, data = self.to_firmware.popleft()
            for line in self.firmware.receive(data):
                self.to_engine.append((self.now + self.latency_s, line + b"\n"))
        elif self.to_engine and self.to_engine[0][0] <= self.now:
            _, data = self.to_engine.popleft()
            engine.feed(data, self.now)
        else:
            engine.on_deadline(self.now)
        return True

    def run_until(self, kind: type, limit: int = 2_000_000) -> object:
        """Step until an event of this kind has happened; returns it."""
        for _ in range(limit):
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            if not self.step():
                break
        for event in self.events:
            if isinstance(event, kind):
                self.events.remove(event)
                return event
        msg = f"{kind.__name__} never came; mode {self.engine.mode}, events {self.events[-5:]}"
        raise AssertionError(msg)
