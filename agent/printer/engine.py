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

from typing import TYPE_CHECKING

from agent.printer.agreement import Mode
from agent.printer.engine_events import Drained, EngineEvent, StreamDone, Verdict
from agent.printer.listening import Listening
from agent.printer.pace import EAGER_PATIENCE_S

if TYPE_CHECKING:
    from agent.printer.dialects import Dialect
    from agent.printer.framing import Chunk
    from agent.printer.pace import Pace
    from agent.printer.window import WindowSize

__all__ = ["LineEngine", "Mode"]


class LineEngine(Listening):
    """One conversation. All times are monotonic seconds given by the caller; one thread at a time."""

    def __init__(self, dialect: Dialect, size: WindowSize, pace: Pace | None = None) -> None:
        super().__init__(dialect, size, pace)
        self._finishing = self._reported_end = False

    # -- what the owner says ------------------------------------------------------------------------------------

    def open(self, base: int, at: int, now: float) -> None:
        """Begin a session: its line `at + 1` is next and carries number `base + at + 1`.

        Answered by SessionOpened. Lines of an earlier session that are in flight are no longer followed. Nothing
        brings a failed conversation back to life.
        """
        if self.mode is Mode.DEAD:
            return
        self._reset_session(base, at, now)
        if self._can_ask:
            self.mode = Mode.OPENING
            self._ask(now)
        else:
            self._opened(now)

    def adopt(self, base: int, at: int, now: float) -> None:
        """Go on with a session the firmware is already in: it named `base + at` as its last accepted line."""
        if self.mode is Mode.DEAD:
            return
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
        if self.mode is not Mode.DEAD:
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
        stops = self._held or self._poll_wanted
        if not stops and window.sent >= self.pace.check_at:
            stops = self._wants_check()
        if not stops and window.unsettled:
            stops = self._must_settle()
        if not stops:
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
            self._poll_temperatures(now)
        elif self._reported_end:
            return
        elif self._must_ask(at_end=at_end):
            if now >= self._settled_at():
                window.settled()
                self._start_asking(now)
        elif self._held:
            self._reported_end = True
            self._events.append(Drained(window.acked))
        elif self._must_settle():
            if now >= self._settled_at():
                window.settled()
                self._flow(now)
        elif at_end:
            self._reported_end = True
            counter = self.base + window.verified if self._can_ask else None
            self._events.append(StreamDone(window.acked, counter))

    def _poll_temperatures(self, now: float) -> None:
        self._poll_wanted = False
        if self._can_ask or self._questions.may_ask(0, now):
            self._polling = True
            self._last_progress = now
            self._out.append(b"M105\n")
            if not self._can_ask:
                self._questions.asked(0, now)

    def _must_ask(self, *, at_end: bool) -> bool:
        """Whether our count has to be compared with the firmware's before anything else happens."""
        if not self._can_ask or self.window.verified == self.window.sent:
            return False
        return self._held or at_end or self._wants_check()

    def _wants_check(self) -> bool:
        """Whether it is time to compare our count with the firmware's."""
        window = self.window
        return self._can_ask and window.sent >= self.pace.check_at and window.verified != window.sent

    def _must_settle(self) -> bool:
        """Whether a late ok could be taken for that of a command that is sent alone."""
        return self._can_ask and self.window.unsettled > 0 and self.window.barrier_is_next

    def _settled_at(self) -> float:
        """When oks of unsettled lines will not come any more."""
        return self._last_progress + (self.pace.short_patience_s if self.window.unsettled else 0.0)

    # -- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called, or None.

        While lines flow this may be too early: every ok moves the true deadline, and working it out for each of them
        costs more than a call in vain four times a second.
        """
        if self._inquiry.deadline is not None:
            return self._inquiry.deadline
        if self.mode is not Mode.FLOW:
            return None
        if self.window.in_flight or self._polling:
            if not self._last_progress < self._due <= self._last_progress + EAGER_PATIENCE_S:
                self._due = self._last_progress + self._patience_s()
            return self._due
        at_end = self._finishing and not self.window.backlog
        if self.window.unsettled and (self._must_settle() or self._must_ask(at_end=at_end)):
            return self._settled_at()
        return None

    def on_deadline(self, now: float) -> None:
        """Time has passed."""
        self._due = 0.0
        due = self.deadline()
        if due is None or now < due:
            return
        if self._inquiry.deadline is not None:
            self._decide(now)
            return
        if self._polling:
            self.timeouts += 1
            self._polling = False
            self.pace.suspect(self.window.sent)
        elif self.window.in_flight:
            self.timeouts += 1
            self._start_asking(now)

    def _patience_s(self) -> float:
        """How long the oldest line may stay unanswered. A blocking command always gets the full time."""
        chunk = self.window.current()
        if chunk is None or chunk.barrier or not self._can_ask:
            return self.pace.patience_s
        if self._noise or self.pace.single or self._wants_check():
            return self.pace.short_patience_s
        return self.pace.eager_patience_s

    def _reset_session(self, base: int, at: int, now: float) -> None:
        self._begin_session(base, at, now)
        self._finishing = self._held = self._reported_end = self._polling = False
