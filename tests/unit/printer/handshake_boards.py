"""Boards for handshakes: small firmwares behind a wire, in virtual time."""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping

from agent.domain.printer import FirmwareInfo
from agent.printer.framing import checksum
from agent.printer.handshake import Answered, Handshake, HandshakeResult

LIMIT_S = 5000.0
NAME = b"FIRMWARE_NAME:Marlin 2.1.2.4 (Jan 1 2024) SOURCE_CODE_URL:x MACHINE_TYPE:Rig UUID:cede2a2f EXTRUDER_COUNT:1"
CAPS = [b"Cap:AUTOREPORT_TEMP:1", b"Cap:EMERGENCY_PARSER:0"]
BANNER = [b"start", b"PowerUp", b"Marlin 2.1.2.4", b"echo:  M92 X80.00 Y80.00"]
FIRMWARE = FirmwareInfo(name="Marlin 2.1.2.4", uuid="cede2a2f")


class Board:
    """A firmware behind a wire with 5 ms delay; `hear` answers one line."""

    delay_s = 0.005

    def __init__(self) -> None:
        self.tail = b""
        self.said: list[tuple[float, bytes]] = []  # when, bytes
        self.heard: list[bytes] = []
        self.executed: list[bytes] = []

    def say(self, when: float, *lines: bytes) -> None:
        for line in lines:
            heapq.heappush(self.said, (when + self.delay_s, line + b"\n"))

    def receive(self, data: bytes, now: float) -> None:
        *lines, self.tail = (self.tail + data).split(b"\n")
        for line in lines:
            self.heard.append(line)
            self.hear(line, now)

    def hear(self, line: bytes, now: float) -> None:
        """Answer one line."""


class Marlin(Board):
    """Numbers, the receive ring that every refusal empties, and a queue that a long command blocks."""

    def __init__(self, last: int = 0, name: bytes = NAME) -> None:
        super().__init__()
        self.last = last
        self.name = name
        self.busy_until = 0.0
        self.queue_room = 4
        self.flushed = False

    def receive(self, data: bytes, now: float) -> None:
        self.flushed = False
        *lines, self.tail = (self.tail + data).split(b"\n")
        for line in lines:
            if self.flushed:
                self.tail = b""
                break
            self.heard.append(line)
            self.hear(line, now)

    def hear(self, line: bytes, now: float) -> None:
        if not line.strip():
            return
        if line.startswith(b"N"):
            self._numbered(line, now)
        else:
            self._execute(line, now)

    def _numbered(self, line: bytes, now: float) -> None:
        body, star, check = line.rpartition(b"*")
        match = re.match(rb"N(\d*)\s*(.*)", body if star else line, re.DOTALL)
        assert match is not None
        number = int(match[1] or 0)
        if number != self.last + 1:
            if number not in (self.last, self.last - 1):
                self._refuse(b"Line Number is not Last Line Number+1", now)
        elif not star:
            self._refuse(b"No Checksum with line number", now)
        elif check != b"%d" % checksum(body):
            self._refuse(b"checksum mismatch", now)
        else:
            self.last = number
            self._execute(match[2], now)

    def _refuse(self, why: bytes, now: float) -> None:
        self.flushed = True
        self.say(now, b"Error:%s, Last Line: %d" % (why, self.last), b"Resend: %d" % (self.last + 1), b"ok")

    def _execute(self, command: bytes, now: float) -> None:
        when = max(now, self.busy_until)
        self.executed.append(command)
        if command == b"M115":
            self.say(when, self.name, *CAPS, b"ok")
        elif command == b"M105":
            self.say(when, b"ok T:21.00 /0.00 B:20.00 /0.00 @:0 B@:0")
        else:
            self.say(when, b"ok")

    def block(self, until: float, keepalive: bytes = b"echo:busy: processing", every: float = 2.0) -> None:
        self.busy_until = until
        for beat in range(1, int(until / every) + 1):
            self.say(beat * every, keepalive)


class Dialogue:
    """Runs a handshake against a board in virtual time."""

    def __init__(self, board: Board, handshake: Handshake) -> None:
        self.board, self.handshake = board, handshake
        self.now = 0.0

    def run(self) -> HandshakeResult:
        shake, board = self.handshake, self.board
        shake.start(self.now)
        while shake.result is None:
            assert self.now < LIMIT_S, "no end"
            board.receive(shake.outgoing(), self.now)
            deadline = shake.deadline()
            assert deadline is not None
            if board.said and board.said[0][0] <= deadline:
                self.now, data = heapq.heappop(board.said)
                shake.feed(data, self.now)
            else:
                self.now = max(self.now, deadline)
                shake.on_deadline(self.now)
        assert shake.deadline() is None
        return shake.result


def meet(board: Board, **known: object) -> tuple[HandshakeResult, float]:
    dialogue = Dialogue(board, Handshake(**known))  # type: ignore[arg-type]
    return dialogue.run(), dialogue.now


def answered(board: Board, **known: object) -> Answered:
    result, _ = meet(board, **known)
    assert isinstance(result, Answered), result
    return result


class Deaf(Marlin):
    """Its queue is full: nothing is read until the long command ends."""

    def receive(self, data: bytes, now: float) -> None:
        self.tail += data
        if now >= self.busy_until:
            super().receive(b"", now)


class Simple(Board):
    """Answers by a table of exact lines, everything else with an ok."""

    def __init__(self, table: Mapping[bytes, tuple[bytes, ...]], *, blank_ok: bool = False) -> None:
        super().__init__()
        self.table = table
        self.blank_ok = blank_ok

    def hear(self, line: bytes, now: float) -> None:
        if line in self.table:
            self.say(now, *self.table[line])
        elif line or self.blank_ok:
            self.say(now, b"ok")


KLIPPER = {
    b"M115": (b"ok FIRMWARE_NAME:Klipper FIRMWARE_VERSION:v0.12",),
    b"N999999999 M105*46": (b"ok B:20.0 /0.0 T0:20.0 /0.0",),
}
