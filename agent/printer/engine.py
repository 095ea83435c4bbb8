"""The line engine: one conversation with one firmware, as a state machine without port, clock or thread.

The rules, all from the firmware's side (Marlin 2.1 measured; other dialects differ by data in `dialects/`):

1. Every line of a session carries number and checksum. `ok` is a hint that makes room in the window; what counts is the
   number the firmware names: `Resend: n` or `Last Line: n-1`.
2. On the first `Resend` sending stops. Everything is read until the line is quiet, because each line behind a rejected
   one is rejected too. Then nothing is in flight and line n is next.
3. When an answer is overdue the firmware is asked with an impossible line number. It is never guessed at, and an
   accepted line is never sent again (Marlin >= 2.1.2 answers a duplicate with silence).
4. Lost or doubled oks make our count drift. The count is compared with the firmware's from time to time, and always
   before a hold or the end of a stream is reported.
5. A number outside the lines that can still be asked for means another session: the board was reset. That is asked
   twice and then final; nothing is ever printed again from the start.
6. A firmware without a counter gets one line at a time. When an answer is overdue it is asked for temperatures; if it
   answers while the line is open, nobody can know whether the line was executed, and the print stops and says so.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent.printer import framing
from agent.printer.engine_events import (
    CommandDone,
    Drained,
    EngineEvent,
    Failed,
    Reported,
    Resynchronised,
    SessionOpened,
    StreamDone,
    Verdict,
)
from agent.printer.inquiry import Inquiry, Statement
from agent.printer.pace import Pace
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
from agent.printer.window import SendWindow, WindowSize

if TYPE_CHECKING:
    from agent.printer.dialects import Dialect
    from agent.printer.framing import Chunk

LINE_LIMIT = 4096
"""No firmware answer is longer; more without a line end is noise."""
SHORT_LINE = 8
"""An unknown line this short may be a damaged `ok`."""
CONFIRMATIONS = 2
"""A number outside the window must come this often in a row after the first time: replies carry no checksum."""
ROUNDS_LIMIT = 30
"""Resynchronisations without one line of progress before the print is stopped (3 % noise needs two or three)."""
OPENING_LIMIT = 8
"""Attempts to set the line number."""


class Mode(StrEnum):
    """What the engine is doing."""

    CLOSED = "closed"
    OPENING = "opening"
    FLOW = "flow"
    SETTLING = "settling"
    ASKING = "asking"
    DEAD = "dead"


_READING = (Mode.SETTLING, Mode.ASKING, Mode.OPENING)


class LineEngine:
    """One conversation. All times are monotonic seconds given by the caller; one thread at a time."""

    def __init__(self, dialect: Dialect, size: WindowSize, pace: Pace | None = None) -> None:
        self.dialect = dialect
        self.pace = pace or Pace(size, keepalive=dialect.keepalive)
        self.window = SendWindow(size, keep=dialect.unasked_resend_back)
        self.mode = Mode.CLOSED
        self.base = 0
        self.resends = self.timeouts = self.garbled = 0
        self._can_ask = dialect.counter == "probe"
        self._inquiry = Inquiry()
        self._tail = b""
        self._out: list[bytes] = []
        self._events: list[EngineEvent] = []
        self._reply_lines: list[str] = []
        self._last_progress = self._last_rx = 0.0
        self._rounds = 0  # resynchronisations since the last progress
        self._strange = 0  # numbers outside the window since the last good one
        self._waits = 0  # answers in a row that only say that a blocking command was accepted
        self._noise = False  # something unreadable came since the last ok: it may have been one
        self._finishing = self._held = self._reported_end = False
        self._poll_wanted = self._polling = False
        self._tickled = self._overtaken = False

    # -- what the owner says ------------------------------------------------------------------------------------

    def open(self, base: int, at: int, now: float) -> None:
        """Begin a session: its line `at + 1` is next and carries number `base + at + 1`.

        Answered by SessionOpened. Lines of an earlier session that are in flight are no longer followed.
        """
        self._reset_session(base, at, now)
        if self.dialect.numbered:
            self.mode = Mode.OPENING
            self._ask(now)
        else:
            self._opened(now)

    def adopt(self, base: int, at: int, now: float) -> None:
        """Go on with a session the firmware is already in: it named `base + at` as its last accepted line."""
        self._reset_session(base, at, now)
        self._opened(now)

    def push(self, chunk: Chunk) -> None:
        """Append the next lines of the session (`chunk.first` must be `window.last + 1`)."""
        self.window.push(chunk)
        self._reported_end = False

    def finish(self) -> None:
        """No more lines will come: report StreamDone when the firmware has confirmed the last one."""
        self._finishing = True

    def hold(self) -> None:
        """Send no further line; Drained is reported once nothing is in flight."""
        self._held = True
        self._reported_end = False

    def poll(self) -> None:
        """Ask for temperatures between two lines, for a firmware that does not report them by itself."""
        self._poll_wanted = True

    def urgent(self, data: bytes) -> None:
        """Send raw bytes ahead of everything (M108 …); the count of oks is checked soon after."""
        self._out.insert(0, data)
        self.pace.suspect(self.window.sent)

    def halt(self, detail: str) -> None:
        """Stop the conversation for good from our side (after an emergency stop)."""
        self._fail(Verdict.HALTED, detail)

    def take_events(self) -> list[EngineEvent]:
        """Everything that happened since the last call."""
        events = self._events
        if events:
            self._events = []
        return events

    # -- bytes in -----------------------------------------------------------------------------------------------

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
        if not self._can_ask and _is_temperature_answer(replies) and (self._tickled or self._overtaken):
            self._tickle_answered()
            replies = tuple(reply for reply in replies if not isinstance(reply, Ok))
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
        elif self.mode in _READING:
            self._settle(now)
            if self._nothing_else_to_come():
                self._decide(now)

    def _nothing_else_to_come(self) -> bool:
        """The ok that trails the only rejection that can be on its way: no need to wait for silence."""
        if not self._inquiry.is_complete or self.mode is Mode.OPENING:
            return False
        return self.window.in_flight == (1 if self.mode is Mode.SETTLING else 0)

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
        self._waits = self._rounds = 0
        self._noise = False
        if self._polling:
            self._polling = False
            return
        if self._tickled:
            self._tickled, self._overtaken = False, True
        chunk = window.current()
        if window.acknowledge(count):
            self.pace.suspect(window.sent)
        self.pace.acked(window, now)
        if chunk is not None and chunk.token is not None and window.acked >= chunk.first:
            self._command_done(chunk.token)

    def _command_done(self, token: int) -> None:
        self._events.append(CommandDone(token, tuple(self._reply_lines)))
        self._reply_lines.clear()

    def _remember_reply(self, line: bytes, replies: tuple[Reply, ...]) -> None:
        """Keep what belongs to a running host command; reports that come by themselves do not."""
        chunk = self.window.current()
        if chunk is None or chunk.token is None or len(self._reply_lines) >= LINE_LIMIT:
            return
        if not all(isinstance(reply, TemperatureReport | Busy | Wait) for reply in replies):
            self._reply_lines.append(line.decode("latin-1").strip())

    # -- trouble ------------------------------------------------------------------------------------------------

    def _rejected(self, now: float) -> None:
        """The firmware refuses a line (or answers a question): stop sending and read until it is quiet."""
        if self.mode is Mode.FLOW:
            self.mode = Mode.SETTLING
            self._inquiry.begin()
            self._settle(now)

    def _settle(self, now: float) -> None:
        if self.mode in _READING:
            until = now + self.pace.quiet_s(self.window.in_flight)
            self._inquiry.settle(until, answer_awaited=self.mode is not Mode.SETTLING)

    def _greeted(self, now: float) -> None:
        """A boot banner in the middle of a session: the counter will tell whether it is true."""
        if self.mode not in (Mode.FLOW, Mode.SETTLING, Mode.ASKING):
            return
        if self._can_ask:
            self._start_asking(now)
        else:
            self._fail(Verdict.RESET, "the printer has restarted")

    def _start_asking(self, now: float) -> None:
        if self._can_ask:
            self.mode = Mode.ASKING
            self._ask(now)
        else:
            self._tickle(now)

    def _ask(self, now: float) -> None:
        self._inquiry.asked(now + self.pace.answer_s)
        if self.mode is Mode.OPENING:
            self._out.append(b"\n" + framing.set_number(self.base + self.window.sent))
        self._out.append(framing.probe())

    def _decide(self, now: float) -> None:
        """The line is quiet: go by what the firmware has said."""
        statement = self._inquiry.end()
        if statement is None:
            self._unanswered(now)
        elif not isinstance(statement, Statement):
            self._again(now)
        elif self.mode is Mode.OPENING:
            self._set_number(statement.number, now)
        else:
            self._accepted(statement, now)

    def _set_number(self, number: int, now: float) -> None:
        if number == self.base + self.window.sent:
            self._opened(now)
        else:
            self._again(now)

    def _accepted(self, statement: Statement, now: float) -> None:
        window = self.window
        index = statement.number - self.base
        if window.verified <= index <= window.sent:
            if statement.sure or self.mode is Mode.ASKING:
                self._resume_after(index, now, sure=statement.sure)
            else:
                self._start_asking(now)
            return
        self._strange += 1
        if self._strange <= CONFIRMATIONS:
            self._start_asking(now)
        elif index < window.verified and window.reaches_back_to(index):
            self._resume_after(index, now, sure=True)
        else:
            expected = f"{self.base + window.verified} to {self.base + window.sent}"
            self._fail(
                Verdict.RESET,
                f"the printer says that line {statement.number} was its last, expected {expected}: "
                "it was reset or used by another program",
            )

    def _resume_after(self, index: int, now: float, *, sure: bool) -> None:
        """The firmware has accepted everything up to `index`; nothing is in flight any more."""
        window = self.window
        again = window.sent - index
        asked = self.mode is Mode.ASKING
        drift = window.acked - index
        chunk = window.current()
        self.mode = Mode.FLOW
        self._last_progress = now
        self._strange = self._inquiry.asks = 0
        self._noise = False
        if again and self._too_many_rounds(again):
            return
        accepted = chunk is not None and chunk.first <= index
        if chunk is not None and accepted and chunk.barrier and self.pace.may_still_run(self._waits):
            self._waits += 1
            return
        window.resume_after(index, sure=sure)
        self.pace.verified(drift=drift, index=index)
        if again:
            self.pace.lost(window)
            self._events.append(Resynchronised(index, again, asked))
        if chunk is not None and accepted and chunk.token is not None:
            self._command_done(chunk.token)

    def _too_many_rounds(self, again: int) -> bool:
        self._rounds += 1
        self.resends += again
        if self._rounds <= ROUNDS_LIMIT:
            return False
        number = self.base + self.window.sent - again + 1
        self._fail(Verdict.RESEND_LIMIT, f"line {number} was rejected {self._rounds} times in a row")
        return True

    def _unanswered(self, now: float) -> None:
        self.timeouts += 1
        if not self._is_gone(now):
            self._again(now)

    def _again(self, now: float) -> None:
        if self.mode is not Mode.OPENING:
            self._start_asking(now)
            return
        self._rounds += 1
        if self._rounds > OPENING_LIMIT and now - self._last_rx < self.pace.answer_s * 2:
            self._fail(Verdict.UNCERTAIN, "the printer does not accept a line number (M110)")
        else:
            self._ask(now)

    def _tickle(self, now: float) -> None:
        """Without a counter only this can be learnt: a temperature answer means that the printer waits for us."""
        self._last_progress = now
        if not self._is_gone(now) and not self._tickled:
            self._tickled = True
            self._out.append(b"M105\n")

    def _tickle_answered(self) -> None:
        if self._overtaken:
            self._overtaken = False
            return
        line = self.window.acked + 1
        self._fail(
            Verdict.UNCERTAIN,
            f"line {line} was not acknowledged, and {self.dialect.title} cannot be asked whether it was executed",
        )

    def _is_gone(self, now: float) -> bool:
        silence_s = now - self._last_rx
        if silence_s <= self.pace.dead_s:
            return False
        self._fail(Verdict.SILENT, f"the printer has not said anything for {silence_s:.0f} s")
        return True

    def _fail(self, verdict: Verdict, detail: str) -> None:
        if self.mode is Mode.DEAD:
            return
        self.mode = Mode.DEAD
        self._inquiry.deadline = None
        self._out.clear()
        self._events.append(Failed(verdict, detail, self.window.verified))

    # -- bytes out ----------------------------------------------------------------------------------------------

    def outgoing(self, now: float) -> bytes:
        """The bytes to write now."""
        if self.mode is Mode.FLOW and not self._polling:
            self._flow(now)
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _flow(self, now: float) -> None:
        window = self.window
        if not (self._held or self._poll_wanted or self._wants_check()):
            idle = not window.in_flight
            data = window.take()
            if data:
                if idle:
                    self._last_progress = now
                self._out.append(data)
                self.pace.sent(window, now)
                return
        if not window.in_flight:
            self._pause_for_breath(now)

    def _pause_for_breath(self, now: float) -> None:
        """Nothing is in flight: poll, compare the counts, or report the end of what was asked for."""
        window = self.window
        at_end = self._finishing and not window.backlog
        if self._poll_wanted:
            self._poll_wanted = False
            self._polling = True
            self._last_progress = now
            self._out.append(b"M105\n")
        elif self._reported_end:
            return
        elif (
            self._can_ask and window.verified < window.sent and (self._held or at_end or self._wants_check())
        ):
            self._start_asking(now)
        elif self._held:
            self._reported_end = True
            self._events.append(Drained(window.acked))
        elif at_end:
            self._reported_end = True
            counter = self.base + window.verified if self._can_ask else None
            self._events.append(StreamDone(window.acked, counter))

    def _wants_check(self) -> bool:
        """Whether it is time to compare our count with the firmware's."""
        return self._can_ask and self.pace.check_due(self.window) and self.window.verified < self.window.sent

    # -- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called, or None."""
        if self._inquiry.deadline is not None:
            return self._inquiry.deadline
        if self.mode is Mode.FLOW and (self.window.in_flight or self._polling):
            return self._last_progress + self._patience_s()
        return None

    def on_deadline(self, now: float) -> None:
        """Time has passed."""
        due = self.deadline()
        if due is None or now < due:
            return
        if self._inquiry.deadline is not None:
            self._decide(now)
            return
        self.timeouts += 1
        if self._polling:
            self._polling = False
            self.pace.suspect(self.window.sent)
        else:
            self._start_asking(now)

    def _patience_s(self) -> float:
        """How long the oldest line may stay unanswered. A blocking command always gets the full time."""
        chunk = self.window.current()
        hurried = self._noise or self.pace.single or self._wants_check()
        if hurried and chunk is not None and not chunk.barrier:
            return self.pace.short_patience_s
        return self.pace.patience_s

    # -- sessions -----------------------------------------------------------------------------------------------

    def _reset_session(self, base: int, at: int, now: float) -> None:
        self.base = base
        self.window.start_at(at)
        self._inquiry = Inquiry()
        self._finishing = self._held = self._reported_end = False
        self._polling = self._noise = self._tickled = self._overtaken = False
        self._rounds = self._strange = self._waits = 0
        self._reply_lines.clear()
        self._last_progress = self._last_rx = now
        self.pace.restart(at)

    def _opened(self, now: float) -> None:
        self.mode = Mode.FLOW
        self._rounds = self._inquiry.asks = 0
        self._last_progress = now
        self._events.append(SessionOpened(self.base + self.window.sent))


def _is_temperature_answer(replies: tuple[Reply, ...]) -> bool:
    """`ok T:…`: the answer to M105, as opposed to a report that comes by itself."""
    kinds = {type(reply) for reply in replies}
    return Ok in kinds and TemperatureReport in kinds
