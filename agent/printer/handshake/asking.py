"""The questions of a handshake: what is asked next, how long an answer is waited for, and when it is over."""

from __future__ import annotations

from enum import StrEnum

from agent.domain.printer import FirmwareInfo, Temperature
from agent.printer.dialects import GENERIC, PROBE_COMMAND, Dialect, identify
from agent.printer.handshake.answers import firmware_info
from agent.printer.handshake.results import Answered, Garbage, HandshakeResult, Silent
from agent.printer.handshake.timing import (
    ANSWER_S,
    BUSY_GRACE_S,
    BUSY_LIMIT_S,
    CLEAR_S,
    GARBAGE_BYTES,
    GARBAGE_RATIO,
    NAME_QUIET_S,
    PATIENCE_S,
    QUESTIONS,
)
from agent.printer.replies import Halted

NAME_COMMAND = "M115"


class Phase(StrEnum):
    """What is being waited for."""

    CLEARING = "clearing"
    BOOTING = "booting"
    NAMING = "naming"
    COUNTING = "counting"
    TICKLING = "tickling"
    HALTED = "halted"


class Asking:
    """The state of one handshake, and the half of it that speaks; `Handshake` listens."""

    def __init__(
        self,
        *,
        forced: Dialect | None = None,
        remembered: Dialect | None = None,
        firmware: FirmwareInfo | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Prepare a handshake.

        `forced`: the dialect the maker has set, whatever the firmware says. `remembered` and `firmware`: what
        this port answered last time; with them only the line counter is asked, unless the board greets.
        """
        self.result: HandshakeResult | None = None
        self._forced = forced
        self._dialect = forced or remembered
        self._firmware = firmware
        self._patience_s = patience_s
        self._phase = Phase.CLEARING
        self._out = bytearray()
        self._tail = b""
        self._fields: dict[str, str] = {}
        self._capabilities: dict[str, bool] = {}
        self._began_s = self._heard_s = self._busy_s = float("-inf")
        self._deadline: float | None = None
        self._bytes = self._odd_bytes = 0
        self._alive = False
        self._greeting = ""
        self._restarted = False
        self._halted: Halted | None = None
        self._temperatures: dict[str, Temperature] = {}
        self._asked = 0  # questions of this phase
        self._lines_sent = 0
        self._name_done = firmware is not None
        self._count_done = False
        self._named: int | None = None  # this round's answer of the counter
        self._last_line: int | None = None

    def _next(self, now: float) -> None:
        """Ask what is still unknown, or end."""
        countable = not self._count_done and self._countable()
        if self._fields and not self._name_done:
            self._enter(Phase.NAMING, now + NAME_QUIET_S)
        elif countable and (self._name_done or self._dialect is not None):
            self._count(now)
        elif not self._name_done and not (self._is_busy(now) and self._last_line is not None):
            self._name(now)
        else:
            self._finish()

    def _countable(self) -> bool:
        """Tell whether to ask a counter; a stranger is asked too: who refuses like Marlin is one."""
        if self._dialect is None or self._dialect.counter is not None:
            return True
        return self._dialect is GENERIC and not self._forced

    def _send(self, line: bytes) -> None:
        self._out += line + b"\n"
        self._lines_sent += line.count(b"\n") + 1

    def _ask(self, line: bytes, now: float) -> None:
        self._asked += 1
        self._send(line)
        self._deadline = now + ANSWER_S

    def _enter(self, phase: Phase, deadline: float) -> None:
        self._phase, self._deadline, self._asked = phase, deadline, 0

    def _clear(self, now: float) -> None:
        self._enter(Phase.CLEARING, now + CLEAR_S)
        self._send(b"")

    def _name(self, now: float) -> None:
        self._enter(Phase.NAMING, now + ANSWER_S)
        self._ask(NAME_COMMAND.encode(), now)

    def _name_due(self, now: float) -> None:
        if self._fields:
            self._name_known(now)
        elif self._is_busy(now):
            self._wait_busy(now)
        elif self._gone(now):
            return
        elif self._alive and self._asked >= QUESTIONS:
            self._enter(Phase.TICKLING, now)
            self._ask(b"M105", now)
        else:
            # A board that was still booting may have taken half of our line.
            self._ask(b"M115" if self._alive else b"\nM115", now)

    def _wait_busy(self, now: float) -> None:
        """M115 waits in the firmware's queue; the counter is answered even now if there is room."""
        self._deadline = now + ANSWER_S
        if self._phase is not Phase.COUNTING and not self._count_done and self._countable():
            self._count(now)
        elif now - self._began_s > BUSY_LIMIT_S:
            self.result = Silent("the printer has been busy with one command for an hour", heard=True)

    def _name_known(self, now: float) -> None:
        if self._fields:
            self._firmware = firmware_info(self._fields, self._capabilities)
        if self._firmware is not None or self._greeting or self._dialect is None:
            self._dialect = self._forced or identify(self._firmware, self._greeting)
        self._name_done = True
        self._count_done = self._last_line is not None
        self._next(now)

    def _count(self, now: float) -> None:
        self._enter(Phase.COUNTING, now + ANSWER_S)
        self._named = None
        self._ask_counter(now)

    def _ask_counter(self, now: float) -> None:
        self._ask((self._dialect and self._dialect.probe_command) or PROBE_COMMAND, now)

    def _count_due(self, now: float) -> None:
        named, self._named = self._named, None
        if named is not None and named == self._last_line:
            self._counted(now)
        elif named is not None and self._asked < 3 * QUESTIONS:
            self._last_line = named
            self._ask_counter(now)
        elif self._is_busy(now) and self._asked > 1:
            self._wait_busy(now)
        elif self._asked < QUESTIONS or not self._alive:
            if not self._gone(now):
                self._ask_counter(now)
        else:
            self._count_failed(now)

    def _counted(self, now: float) -> None:
        self._count_done = True
        if self._dialect in (None, GENERIC) and not self._forced and self._name_done:
            self._dialect = identify(self._firmware, self._greeting, answers_probe=True)
        self._next(now)

    def _count_failed(self, now: float) -> None:
        self._last_line = None
        if self._firmware is not None and not self._fields and not self._forced:
            self._forget()  # not the firmware we remember: ask for its name
        else:
            self._count_done = True
        self._next(now)

    def _tickle_due(self, now: float) -> None:
        if self._is_busy(now):
            self._wait_busy(now)
        elif not self._gone(now):
            if self._asked < QUESTIONS:
                self._ask(b"M105", now)
            else:
                self.result = Silent(_MUTE, heard=True)

    def _is_busy(self, now: float) -> bool:
        return now - self._busy_s <= BUSY_GRACE_S

    def _gone(self, now: float) -> bool:
        """End when patience is over, or when what comes is clearly no text."""
        ratio = self._odd_bytes / self._bytes if self._bytes else 0.0
        if not self._alive and self._bytes >= GARBAGE_BYTES and ratio >= GARBAGE_RATIO and self._asked > 1:
            self.result = Garbage("what the printer sends is no text at this baud rate", ratio)
        elif now - max(self._began_s, self._heard_s) >= self._patience_s:
            self.result = Silent(_MUTE if self._alive else _NOBODY, heard=self._alive)
        return self.result is not None

    def _finish(self) -> None:
        counted = self._last_line is not None
        dialect = self._dialect or identify(self._firmware, self._greeting, answers_probe=counted)
        self.result = Answered(
            dialect=dialect,
            firmware=self._firmware,
            greeting=self._greeting,
            restarted=self._restarted,
            last_line=self._last_line,
            temperatures=dict(self._temperatures),
            busy=not self._name_done,
        )

    def _forget(self) -> None:
        self._firmware, self._dialect = None, self._forced
        self._fields, self._capabilities = {}, {}
        self._name_done = self._count_done = False
        self._last_line = None


_NOBODY = "the printer does not answer: is it switched on, and is this its port and baud rate?"
_MUTE = "the printer talks but answers no command: it may be stopped or busy; switch it off and on"
