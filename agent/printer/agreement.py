"""How the line engine and the firmware come to agree about what was accepted: refusals, questions, conclusions.

The half of the engine that is at work while nothing is sent; `LineEngine` is the other half.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent.printer import framing
from agent.printer.engine_events import (
    CommandDone,
    EngineEvent,
    Failed,
    Resynchronised,
    SessionOpened,
    Verdict,
)
from agent.printer.inquiry import Inquiry, Statement
from agent.printer.pace import Pace
from agent.printer.questions import Questions
from agent.printer.window import SendWindow, WindowSize

if TYPE_CHECKING:
    from agent.printer.dialects import Dialect

CONFIRMATIONS = 2
"""A number outside the window must come this often in a row after the first time: replies carry no checksum."""
ROUNDS_LIMIT = 30
"""Resynchronisations at one line before the print is stopped (3 % noise needs two or three)."""
OPENING_LIMIT = 8
"""Attempts to set the line number."""
OPENING_WAITS_S = (0.1, 0.4, 1.5)
"""For the ok of M110: at once where nothing runs; a firmware at work says `busy` within the last of these."""
OPENING_SILENCE_S = 2.0
"""… that only count when the firmware says something: one that is busy or away answers later."""
UNCLEAR_LIMIT = 60
"""Questions in a row without an understandable answer, although the firmware says something, before it is given up."""


class Mode(StrEnum):
    """What the engine is doing."""

    CLOSED = "closed"
    OPENING = "opening"
    FLOW = "flow"
    SETTLING = "settling"
    ASKING = "asking"
    DEAD = "dead"


_READING = (Mode.SETTLING, Mode.ASKING, Mode.OPENING)


class Agreement:
    """The state of one conversation, and everything that happens in it while sending has stopped."""

    def __init__(self, dialect: Dialect, size: WindowSize, pace: Pace | None) -> None:
        self.dialect = dialect
        if dialect.ok_on == "received":
            # The command slots may be full of acknowledged lines, so the receive ring has to hold all others.
            size = WindowSize(size.lines, max(1, size.bytes - len(framing.probe())))
        self.pace = pace or Pace(size, keepalive=dialect.keepalive)
        self.window = SendWindow(size, keep=dialect.unasked_resend_back)
        self.mode = Mode.CLOSED
        self.base = 0
        self.resends = self.timeouts = self.garbled = 0
        self._can_ask = dialect.counter == "probe"
        self._inquiry = Inquiry()
        self._questions = Questions()
        self._out: list[bytes] = []
        self._events: list[EngineEvent] = []
        self._reply_lines: list[str] = []
        self._last_progress = self._last_rx = 0.0
        self._rounds = 0  # resynchronisations at line `_stuck_at`
        self._stuck_at = 0
        self._strange = 0  # numbers outside the window since the last good one
        self._unclear = 0  # questions since the firmware was last understood
        self._waits = 0  # answers in a row that only say that a blocking command was accepted
        self._noise = False  # something unreadable came since the last ok: it may have been one

    def _begin_session(self, base: int, at: int, now: float) -> None:
        self.base = base
        self.window.start_at(at)
        self.pace.restart(self.window)
        self._inquiry = Inquiry()
        self._questions.clear()
        self._reply_lines.clear()
        self._last_progress = self._last_rx = now
        self._rounds = self._strange = self._unclear = self._waits = 0
        self._stuck_at = at
        self._noise = False

    def _opened(self, now: float) -> None:
        self.mode = Mode.FLOW
        self._inquiry.begin()
        self._rounds = self._unclear = 0
        self._last_progress = now
        self._events.append(SessionOpened(self.base + self.window.sent))

    # -- the firmware refuses something -------------------------------------------------------------------------

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

    def _settle_later(self, now: float) -> None:
        """A sign of life: the question waits in the firmware's buffer, there is no use in asking again."""
        self._inquiry.settle(now + self.pace.patience_s, answer_awaited=True)
        if self.mode is Mode.OPENING:
            self._waits = 0

    def _ok_while_reading(self, now: float) -> None:
        if self.mode not in _READING:
            return
        self._inquiry.oks += 1
        self._settle(now)
        if self._nothing_else_to_come():
            self._decide(now)

    def _nothing_else_to_come(self) -> bool:
        """The ok that trails the only rejection that can be on its way: no need to wait for silence."""
        if not self._inquiry.is_complete or self.mode is Mode.OPENING:
            return False
        return self.window.in_flight == (1 if self.mode is Mode.SETTLING else 0)

    def _greeted(self, now: float) -> None:
        """A boot banner in the middle of a session: the counter will tell whether it is true."""
        if self.mode is Mode.OPENING or (self.mode is Mode.FLOW and not self._can_ask):
            # Where the number is just being set the counter could not tell any more.
            self._fail(Verdict.RESET, "the printer has restarted")
        elif self.mode in (Mode.FLOW, Mode.SETTLING, Mode.ASKING):
            self._start_asking(now)

    # -- asking -------------------------------------------------------------------------------------------------

    def _start_asking(self, now: float) -> None:
        if not self._can_ask:
            self._tickle(now)
            return
        if self.mode is Mode.FLOW:
            self._inquiry.begin()
        self.mode = Mode.ASKING
        self._ask(now)

    def _ask(self, now: float) -> None:
        self._inquiry.asked(now + self.pace.answer_s(self._inquiry.asks))
        if self.mode is Mode.OPENING:
            self._out.append(b"\n" + framing.set_number(self.base + self.window.sent))
        modulus = self.dialect.line_modulus
        if modulus is None:
            self._out.append(framing.probe())
        else:
            far = self.base + self.window.sent + modulus // 2 + self._inquiry.asks
            self._out.append(framing.probe(far % modulus))

    def _decide(self, now: float) -> None:
        """The line is quiet: go by what the firmware has said."""
        statement = self._inquiry.end()
        if statement is None:
            self.timeouts += 1
            if not self._is_gone(now):
                self._again(now)
        elif not isinstance(statement, Statement):
            self._again(now)
        elif self.mode is Mode.OPENING:
            if self._index_of(statement.number) == self.window.sent:
                self._open_when_executed(now)
            else:
                self._again(now)
        elif statement.sure:
            self._judge(statement.number, now)
        else:
            self._again(now)

    def _open_when_executed(self, now: float) -> None:
        """The number is set, but M110 sets it once more when it is executed: its ok must have come as well.

        Where the ok was lost nothing tells; then the wait ends when the firmware has not said `busy` for a while.
        """
        inquiry = self._inquiry
        if inquiry.oks - inquiry.refusals >= inquiry.asks or self._waits >= len(OPENING_WAITS_S):
            self._waits = 0
            self._opened(now)
        else:
            inquiry.deadline = now + OPENING_WAITS_S[self._waits]
            self._waits += 1

    def _again(self, now: float) -> None:
        """Not understood: ask, within limits."""
        if self.mode is Mode.OPENING:
            self._rounds += 1
            if self._rounds > OPENING_LIMIT and now - self._last_rx < OPENING_SILENCE_S:
                self._fail(Verdict.UNCERTAIN, "the printer does not accept a line number (M110)")
            else:
                self._ask(now)
            return
        self._unclear += 1
        if self._unclear > UNCLEAR_LIMIT:
            self._fail(Verdict.UNCERTAIN, "the printer talks but does not say which line it accepted last")
        else:
            self._start_asking(now)

    def _tickle(self, now: float) -> None:
        """Without a counter only this can be learnt: a temperature answer means that the printer waits for us."""
        self._last_progress = now
        if not self._is_gone(now):
            self._ask_behind(self.window.acked + 1 if self.window.in_flight else 0, now)

    def _ask_behind(self, line: int, now: float) -> None:
        """Queue a temperature question behind this line: it is answered when the line is over."""
        if self._questions.may_ask(line, now):
            self._questions.asked(line, now)
            self._out.append(b"M105\n")

    def _is_overtaken(self) -> bool:
        """A temperature question was answered: whether the line that is still open is older than the question."""
        line = self._questions.answered()
        return bool(line) and self.window.in_flight > 0 and line == self.window.acked + 1

    # -- concluding ---------------------------------------------------------------------------------------------

    def _index_of(self, number: int) -> int:
        """The session's line with this number; where numbers wrap around, the one nearest to the window."""
        modulus, window = self.dialect.line_modulus, self.window
        if modulus is None:
            return number - self.base
        index = window.verified + (number - self.base - window.verified) % modulus
        return index if index <= window.furthest else index - modulus

    def _judge(self, number: int, now: float) -> None:
        """The firmware has named its last accepted line, beyond doubt about the words."""
        window = self.window
        index = self._index_of(number)
        self._unclear = 0
        if window.verified <= index <= window.furthest:
            self._resume_after(index, now)
            return
        self._strange += 1
        if self._strange <= CONFIRMATIONS:
            self._start_asking(now)
        elif index < window.verified and window.reaches_back_to(index):
            self._resume_after(index, now)
        else:
            expected = f"{self.base + window.verified} to {self.base + window.furthest}"
            self._fail(
                Verdict.RESET,
                f"the printer says that line {number} was its last, expected {expected}: "
                "it was reset or used by another program",
            )

    def _resume_after(self, index: int, now: float) -> None:
        """The firmware has accepted everything up to `index`; what was sent behind it is lost."""
        window, inquiry = self.window, self._inquiry
        again = max(0, window.sent - index)
        asked = self.mode is Mode.ASKING
        drift = window.acked - index
        chunk = window.current()
        accepted = chunk is not None and chunk.first <= index
        self.mode = Mode.FLOW
        self._last_progress = now
        self._strange = 0
        self._noise = False
        if again and self._too_many_rounds(index, again):
            return
        if chunk is not None and accepted and chunk.barrier and self.pace.may_still_run(self._waits):
            self._waits += 1
            self._ask_behind(window.acked + 1, now)
            return
        self._waits = 0
        window.resume_after(index, oks=max(0, inquiry.oks - inquiry.refusals))
        self.pace.verified(drift=drift, index=index, now=now)
        if window.unsettled:
            self.pace.suspect(index)
        if again:
            self.pace.lost(window)
            self._events.append(Resynchronised(index, again, asked))
        if chunk is not None and accepted and chunk.token is not None:
            self._command_done(chunk.token)

    def _too_many_rounds(self, index: int, again: int) -> bool:
        self._rounds = self._rounds + 1 if index == self._stuck_at else 1
        self._stuck_at = index
        self.resends += again
        if self._rounds <= ROUNDS_LIMIT:
            return False
        number = self.base + index + 1
        self._fail(Verdict.RESEND_LIMIT, f"line {number} was rejected {self._rounds} times in a row")
        return True

    def _command_done(self, token: int) -> None:
        self._events.append(CommandDone(token, tuple(self._reply_lines)))
        self._reply_lines.clear()

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
