"""The line engine on a bench: the test plays the firmware, reply by reply."""

from __future__ import annotations

from agent.printer import framing
from agent.printer.dialects import MARLIN_2, Dialect
from agent.printer.engine import LineEngine, Mode
from agent.printer.engine_events import (
    EngineEvent,
    Failed,
)
from agent.printer.framing import build_chunk, with_token
from agent.printer.window import WindowSize

BASE = 20_000
PROBE = framing.probe()


class Bench:
    """The engine, a clock, and what it says; the test plays the firmware."""

    def __init__(
        self, dialect: Dialect = MARLIN_2, lines: int = 4, size: int = 120, open_now: bool = True
    ) -> None:
        self.engine = LineEngine(dialect, WindowSize(lines, size))
        self.now = 100.0
        self.events: list[EngineEvent] = []
        if open_now:
            self.open()

    def open(self, base: int = BASE, at: int = 0) -> None:
        self.engine.open(base, at, self.now)
        if self.engine.mode is Mode.OPENING:
            self.sent()
            self.hear("ok")
            self.refuse(base + at)
            self.quiet()
        assert self.engine.mode is Mode.FLOW
        self.events.clear()

    def push(self, *commands: bytes, barrier: bool = False, token: int | None = None) -> None:
        base = self.engine.base if self.engine.dialect.numbered else None
        chunk = build_chunk(self.engine.window.last + 1, base, commands, barrier=barrier)
        self.engine.push(chunk if token is None else with_token(chunk, token))

    def moves(self, count: int) -> None:
        self.push(*(b"G1 X%d" % index for index in range(count)))

    def sent(self) -> bytes:
        """What the engine writes now."""
        data = self.engine.outgoing(self.now)
        self.events += self.engine.take_events()
        return data

    def lines_sent(self) -> list[int]:
        """Indices of the session's lines among what is written now."""
        numbers = [int(line[1:].split(b" ")[0]) for line in self.sent().split(b"\n") if line.startswith(b"N")]
        return [number - self.engine.base for number in numbers if number != framing.IMPOSSIBLE_LINE]

    def hear(self, *lines: str | bytes, after_s: float = 0.001) -> None:
        self.now += after_s
        for line in lines:
            self.engine.feed(line if isinstance(line, bytes) else line.encode() + b"\n", self.now)
        self.events += self.engine.take_events()

    def refuse(self, last: int, *, ok: bool = True) -> None:
        """The firmware refuses a line, or answers the question."""
        self.hear(f"Error:Line Number is not Last Line Number+1, Last Line: {last}", f"Resend: {last + 1}")
        if ok:
            self.hear("ok")

    def quiet(self) -> None:
        """Nothing comes until the engine wants to act."""
        deadline = self.engine.deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        self.engine.on_deadline(self.now)
        self.events += self.engine.take_events()

    def until_asking(self) -> None:
        for _ in range(50):
            if PROBE in self.sent():
                return
            self.quiet()
        raise AssertionError(f"never asked; mode {self.engine.mode}")

    def fell(self) -> Failed | None:
        return next((event for event in self.events if isinstance(event, Failed)), None)

    def happened(self, kind: type) -> list[EngineEvent]:
        return [event for event in self.events if isinstance(event, kind)]
