"""What the line engine makes of the firmware's bytes: oks, refusals, reports, noise. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.printer.agreement import Mode
from agent.printer.engine_events import Reported, Verdict
from agent.printer.replies import (
    Busy,
    Greeting,
    Halted,
    LastLine,
    Ok,
    Reply,
    Resend,
    TemperatureReport,
    Unknown,
    Wait,
    parse_line,
)
from agent.printer.swift import SwiftPath

if TYPE_CHECKING:
    from agent.printer.dialects import Dialect
    from agent.printer.pace import Pace
    from agent.printer.window import WindowSize

LINE_LIMIT = 4096
"""No firmware answer is longer; more without a line end is noise."""
SHORT_LINE = 8
"""An unknown line this short may be a damaged `ok`."""


class Listening(SwiftPath):
    """The engine's ear: every byte that does not take the short way."""

    def __init__(self, dialect: Dialect, size: WindowSize, pace: Pace | None = None) -> None:
        super().__init__(dialect, size, pace)
        self._due = 0.0  # a deadline worked out earlier

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes from the firmware."""
        self._last_rx = now
        if not self._tail and self.mode is Mode.FLOW:
            count = data.count(b"ok\n")
            if count * 3 == len(data):
                self._oks(count, now)
                return
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > LINE_LIMIT:
            self._tail = b""
            self.garbled += 1
        for line in lines:
            if line == b"ok":
                self._ok(now)
            else:
                self._line(line, now)

    def _line(self, line: bytes, now: float) -> None:
        replies = parse_line(line[:LINE_LIMIT])
        if self.window.in_flight:
            self._remember_reply(line, replies)
        if self._questions and _is_temperature_answer(replies) and not self.window.is_asking_temperatures():
            self._polling = False
            replies = tuple(reply for reply in replies if not isinstance(reply, Ok))
            if self._is_overtaken():
                self._overtaken(now)
        for reply in replies:
            if not self._protocol_reply(reply, now):
                self._report(reply, now)

    def _protocol_reply(self, reply: Reply, now: float) -> bool:
        """Handle what is about the conversation itself; False for everything else."""
        match reply:
            case Ok(number=None):
                self._ok(now)
            case Ok(number=int() as number):
                self._numbered_ok(number, now)
            case Resend(number=number):
                self._rejected(now)
                self._inquiry.resend(number)
                self._settle(now)
            case LastLine(number=number):
                self._rejected(now)
                self._inquiry.last_line(number)
                self._settle(now)
            case Wait():
                self._waiting(now)
            case _:
                return False
        return True

    def _report(self, reply: Reply, now: float) -> None:
        """Pass a reply on, after drawing conclusions from it."""
        self._events.append(Reported(reply))
        match reply:
            case Busy():
                self._last_progress = now
                self.pace.busy_seen()
                if self.mode is Mode.ASKING:
                    self._settle_later(now)
            case TemperatureReport(waiting=waiting):
                self.pace.report_seen()
                if waiting:
                    self._last_progress = now
            case Greeting():
                self._greeted(now)
            case Halted(text=text):
                self._fail(Verdict.HALTED, text)
            case Unknown(text=text):
                self.garbled += 1
                if len(text) <= SHORT_LINE:
                    self._noise = True
                    self._due = 0.0
                    self.pace.suspect(self.window.sent)

    def _waiting(self, now: float) -> None:
        """`wait`: the firmware is idle (then an ok was lost), or, on some clones, busy."""
        if self.dialect.wait_means == "busy":
            self._last_progress = now
        elif self.mode is Mode.FLOW and self.window.in_flight and self._can_ask:
            self._start_asking(now)

    def _ok(self, now: float) -> None:
        if self.mode is Mode.FLOW:
            self._oks(1, now)
        else:
            self._ok_while_reading(now)

    def _numbered_ok(self, number: int, now: float) -> None:
        """With ADVANCED_OK the ok names its line; one that names an older line is stale (it trails a Resend)."""
        if self.mode is not Mode.FLOW:
            self._ok(now)
            return
        window, modulus = self.window, self.dialect.line_modulus
        ahead = number - self.base - window.acked
        if modulus is not None:
            ahead %= modulus
        if 0 < ahead <= window.in_flight:
            self._oks(ahead, now)

    def _oks(self, count: int, now: float) -> None:
        window = self.window
        self._last_progress = now
        self._waits = 0
        self._noise = False
        if self._polling and self._can_ask:
            self._polling = False
            return
        chunk = window.current()
        if window.acknowledge(count):
            self.pace.suspect(window.sent)
        self.pace.acked(window, now)
        if chunk is not None and chunk.token is not None and window.acked >= chunk.first:
            self._command_done(chunk.token)

    def _overtaken(self, now: float) -> None:
        """The open line is over although its ok did not come."""
        if not self._can_ask:
            line = self.window.acked + 1
            title = self.dialect.title
            self._fail(
                Verdict.UNCERTAIN,
                f"line {line} was not acknowledged, and {title} cannot be asked whether it was executed",
            )
        elif self.mode is Mode.FLOW and self._waits:  # the counter has said that it was accepted
            self._oks(1, now)

    def _remember_reply(self, line: bytes, replies: tuple[Reply, ...]) -> None:
        """Keep what belongs to a running host command; reports that come by themselves do not."""
        chunk = self.window.current()
        if chunk is None or chunk.token is None or len(self._reply_lines) >= LINE_LIMIT:
            return
        by_itself = all(isinstance(reply, TemperatureReport | Busy | Wait) for reply in replies)
        bare_ok = all(isinstance(reply, Ok) for reply in replies)
        if not (by_itself or bare_ok):
            self._reply_lines.append(line.decode("latin-1").strip())


def _is_temperature_answer(replies: tuple[Reply, ...]) -> bool:
    """`ok T:…`: the answer to M105, as opposed to a report that comes by itself."""
    kinds = {type(reply) for reply in replies}
    return Ok in kinds and TemperatureReport in kinds
