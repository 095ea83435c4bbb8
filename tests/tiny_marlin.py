"""A few dozen lines of Marlin for the engine's tests: numbers, checksums, Resend, duplicates, a wire with faults.

Independent of both the agent and the virtual printer. Time is virtual: `Conversation` jumps from event to event.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
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


def _checksum_fault(body: str, star: str, check: str) -> str:
    if not star:
        return "No Checksum with line number"
    value = 0
    for character in body.encode("latin-1"):
        value ^= character
    return "" if check.isascii() and check.isdigit() and int(check) == value else "checksum mismatch"


@dataclass
class TinyMarlin:
    """Accepts, refuses and executes lines like Marlin 2.1.2: one ok each, silence for duplicates.

    `resend_ok`: a refusal ends with an ok. `advanced_ok`: oks name their line. `silent_duplicates`: as since 2.1.2.
    """

    rng: random.Random
    faults: Faults = field(default_factory=Faults)
    last: int = 0
    executed: list[tuple[int | None, str]] = field(default_factory=list)
    ring: bytes = b""
    resets: int = 0
    resend_ok: bool = True
    advanced_ok: bool = False
    silent_duplicates: bool = True

    def receive(self, data: bytes) -> list[bytes]:
        """Bytes arrive; returns the reply lines."""
        replies: list[bytes] = []
        *lines, self.ring = (self.ring + data).split(b"\n")
        for raw in lines:
            replies += self._line(self._damage(raw, self.faults.flip_in).decode("latin-1").strip())
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
            if character not in "0123456789":
                break
            digits += character
        number = int(digits or 0)
        body, star, check = line.rpartition("*")
        command = body[1 + len(digits) :].strip()
        if number != self.last + 1 and "M110" not in command:
            if self.silent_duplicates and number in (self.last, self.last - 1):
                return []
            return self._refuse("Line Number is not Last Line Number+1")
        fault = _checksum_fault(body, star, check)
        if fault:
            return self._refuse(fault)
        self.last = number
        if "M110" not in command:
            self.executed.append((number, command))
        return [b"ok N%d P15 B3" % number if self.advanced_ok else b"ok"]

    def _refuse(self, why: str) -> list[bytes]:
        answer = [f"Error:{why}, Last Line: {self.last}".encode(), f"Resend: {self.last + 1}".encode()]
        if not self.resend_ok:
            return answer
        return [*answer, b"ok N%d P15 B3" % self.last if self.advanced_ok else b"ok"]

    def _damage_out(self, line: bytes) -> list[bytes]:
        if line.startswith(b"ok"):
            if self.rng.random() < self.faults.drop_ok:
                return []
            if self.rng.random() < self.faults.double_ok:
                return [line, line]
        return [self._damage(line, self.faults.flip_out)]

    def _damage(self, line: bytes, flips: float) -> bytes:
        """At most one fault a line: two can cancel out in an XOR (a lost and a flipped blank), and no host can tell."""
        if line and self.rng.random() < self.faults.drop_bytes:
            where = self.rng.randrange(len(line))
            return line[:where] + line[where + 1 :]
        if line and self.rng.random() < flips:
            where = self.rng.randrange(len(line))
            changed = line[where] ^ (1 << self.rng.randrange(8))
            if changed not in (10, 13):
                return line[:where] + bytes([changed]) + line[where + 1 :]
        return line


class Conversation:
    """Engine and firmware joined by wires with latency, in virtual time.

    `latency_s` is a constant or draws one; the order of bytes is kept. `cut` splits what the firmware says into the
    pieces in which the engine reads it. `watch` is called after every step.
    """

    def __init__(
        self,
        engine: LineEngine,
        firmware: TinyMarlin,
        latency_s: float | Callable[[], float] = 0.002,
        cut: Callable[[bytes], list[bytes]] | None = None,
        watch: Callable[[], None] | None = None,
    ) -> None:
        self.engine, self.firmware = engine, firmware
        self.latency_s = latency_s
        self.now = 100.0
        self.events: list[object] = []
        self.to_engine: deque[tuple[float, bytes]] = deque()
        self.to_firmware: deque[tuple[float, bytes]] = deque()
        self.bytes_out = 0
        self._cut = cut
        self._watch = watch

    def step(self) -> bool:
        """Do the next thing; False when nothing is left to do."""
        engine = self.engine
        data = engine.outgoing(self.now)
        if self._watch is not None:
            self._watch()
        if data:
            self.bytes_out += len(data)
            self._post(self.to_firmware, data)
        self.events += engine.take_events()
        times = [queue[0][0] for queue in (self.to_engine, self.to_firmware) if queue]
        deadline = engine.deadline()
        if deadline is not None and engine.mode is not Mode.DEAD:
            times.append(deadline)
        if not times:
            return bool(data)
        self.now = max(self.now, min(times))
        if self.to_firmware and self.to_firmware[0][0] <= self.now:
            _, data = self.to_firmware.popleft()
            said = b"".join(line + b"\n" for line in self.firmware.receive(data))
            for piece in self._cut(said) if self._cut else [said]:
                if piece:
                    self._post(self.to_engine, piece)
        elif self.to_engine and self.to_engine[0][0] <= self.now:
            _, data = self.to_engine.popleft()
            engine.feed(data, self.now)
        else:
            engine.on_deadline(self.now)
        return True

    def _post(self, queue: deque[tuple[float, bytes]], data: bytes) -> None:
        latency_s = self.latency_s() if callable(self.latency_s) else self.latency_s
        arrives = self.now + latency_s
        queue.append((max(arrives, queue[-1][0]) if queue else arrives, data))

    def run_until(self, *kinds: type, limit: int = 2_000_000) -> object:
        """Step until an event of one of these kinds has happened; returns it."""
        for _ in range(limit):
            found = self._first(kinds)
            if found is not None:
                return found
            if not self.step():
                break
        found = self._first(kinds)
        if found is not None:
            return found
        msg = f"{kinds} never came; mode {self.engine.mode}, events {self.events[-5:]}"
        raise AssertionError(msg)

    def _first(self, kinds: tuple[type, ...]) -> object | None:
        for event in self.events:
            if isinstance(event, kinds):
                self.events.remove(event)
                return event
        return None
