"""Finding out who is there, right after a port was opened, without resetting or moving anything.

First a lone line end: it finishes a line that a dead host left half sent, and its refusal makes Marlin throw
away what is still in its receive ring, so nothing else may be on its way then. Then, for a firmware known
from before, the line counter (an impossible line number is refused with `Last Line: k`); for a stranger M115,
then the counter. A counter counts only when two questions in a row get the same answer, since refusals of an
earlier host's lines look just the same. A busy firmware is not asked again: its few queue places must stay
free for a stop.
"""

from __future__ import annotations

from enum import StrEnum

from agent.domain.printer import FirmwareInfo, Temperature
from agent.printer.dialects import GENERIC, PROBE_COMMAND, Counter, Dialect, OkOn, identify
from agent.printer.handshake.answers import firmware_info, line_number
from agent.printer.handshake.results import Answered, BoardHalted, Garbage, HandshakeResult, Silent
from agent.printer.handshake.timing import (
    ANSWER_S,
    BOOT_QUIET_S,
    BUSY_GRACE_S,
    BUSY_LIMIT_S,
    CLEAR_S,
    GARBAGE_BYTES,
    GARBAGE_RATIO,
    HALT_WAIT_S,
    MAX_LINE_BYTES,
    NAME_QUIET_S,
    PATIENCE_S,
    QUESTIONS,
    QUIET_S,
)
from agent.printer.replies import (
    Busy,
    Capability,
    FirmwareName,
    Greeting,
    Halted,
    Info,
    LastLine,
    LineFault,
    Model,
    Ok,
    PrinterError,
    Reply,
    Resend,
    ResetCause,
    TemperatureReport,
    Unknown,
    UnknownCommand,
    parse_line,
)

_TEXT_BYTES = bytes(range(0x20, 0x7F)) + b"\r\n\t"


class _Phase(StrEnum):
    CLEARING = "clearing"
    BOOTING = "booting"
    NAMING = "naming"
    COUNTING = "counting"
    TICKLING = "tickling"
    HALTED = "halted"


NAME_COMMAND = "M115"


class Handshake:
    """One handshake on an open port. All times are monotonic seconds given by the caller."""

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
        self._phase = _Phase.CLEARING
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

    def start(self, now: float) -> None:
        """Begin: the port has just been opened."""
        self._began_s = now
        self._clear(now)

    def outgoing(self) -> bytes:
        """Take the bytes to write now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called; None when the handshake is over."""
        return None if self.result else self._deadline

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes from the port."""
        if self.result or not data:
            return
        self._bytes += len(data)
        self._odd_bytes += len(data.translate(None, _TEXT_BYTES))
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()[-MAX_LINE_BYTES:]
        for line in lines:
            replies = parse_line(line)
            if any(not isinstance(reply, Unknown | Info) for reply in replies):
                self._alive = True
                self._heard_s = now
            for reply in replies:
                self._reply(reply, replies, now)

    def on_deadline(self, now: float) -> None:
        """Tell that time has passed."""
        if self.result or self._deadline is None or now < self._deadline:
            return
        match self._phase:
            case _Phase.CLEARING:
                self._next(now)
            case _Phase.BOOTING:
                self._clear(now)
            case _Phase.HALTED if self._halted is not None:
                self.result = BoardHalted(self._halted.text, self._halted.reason)
            case _Phase.NAMING:
                self._name_due(now)
            case _Phase.COUNTING:
                self._count_due(now)
            case _Phase.TICKLING:
                self._tickle_due(now)

    # -- what the firmware says --

    def _reply(self, reply: Reply, line: tuple[Reply, ...], now: float) -> None:
        match reply:
            case Greeting(text=text):
                self._booted(text, now)
            case ResetCause(text=text):
                self._booted(self._greeting or text, now)
            case Halted():
                self._halted = reply
                self._phase = _Phase.HALTED
                self._deadline = now + HALT_WAIT_S
            case Busy():
                self._busy_s = now
            case TemperatureReport(heaters=heaters, waiting=waiting):
                self._temperatures.update(heaters)
                if waiting:  # a blocking heat-up; the only sign of it on firmwares without busy lines
                    self._busy_s = now
                if self._phase is _Phase.TICKLING and any(isinstance(other, Ok) for other in line):
                    self._name_known(now)
            case _:
                self._answer(reply, now)

    def _answer(self, reply: Reply, now: float) -> None:
        match reply:
            case FirmwareName(fields=fields):
                self._fields.update(fields)
                self._name_heard(now)
            case Capability(name=name, enabled=enabled):
                self._capabilities[name] = enabled
                self._name_heard(now)
            case LastLine(number=number, fault=LineFault.LINE_NUMBER):
                self._count_heard(number, now)
            case Resend(number=number):
                self._count_heard(number - 1, now)
            case Model(text=text):
                self._model_heard(text, now)
            case UnknownCommand() | PrinterError():
                self._refused(reply, now)
            case Ok():
                self._acknowledged(now)

    def _refused(self, reply: UnknownCommand | PrinterError, now: float) -> None:
        if self._phase is _Phase.NAMING and isinstance(reply, UnknownCommand):
            if reply.text.strip() == NAME_COMMAND:  # else it was damaged on its way, and is asked again
                self._name_known(now)
        elif self._phase is _Phase.COUNTING and self._dialect and self._dialect.counter is Counter.M409:
            self._count_done = True  # RepRapFirmware 2 has no object model
            self._next(now)

    def _acknowledged(self, now: float) -> None:
        if self._phase is _Phase.CLEARING:
            self._deadline = max(self._deadline or now, now + QUIET_S)
        elif self._phase is _Phase.NAMING and self._fields and not self._acknowledges_early():
            self._name_known(now)

    def _acknowledges_early(self) -> bool:
        """Tell whether an ok comes before the answer it belongs to."""
        return identify(firmware_info(self._fields, self._capabilities)).ok_on is OkOn.RECEIVED

    def _booted(self, text: str, now: float) -> None:
        """Forget everything: another program may run on the board, and its counter starts anew."""
        self._greeting = text
        # Smoothie greets everyone who opens its USB port.
        self._restarted = self._restarted or not text.startswith("Smoothie")
        self._forget()
        self._temperatures, self._halted = {}, None
        self._busy_s = float("-inf")
        self._phase = _Phase.BOOTING
        self._deadline = now + BOOT_QUIET_S

    def _forget(self) -> None:
        self._firmware, self._dialect = None, self._forced
        self._fields, self._capabilities = {}, {}
        self._name_done = self._count_done = False
        self._last_line = None

    def _name_heard(self, now: float) -> None:
        if self._phase in (_Phase.NAMING, _Phase.TICKLING):
            self._phase = _Phase.NAMING
            self._deadline = now + NAME_QUIET_S

    def _count_heard(self, number: int, now: float) -> None:
        if self._phase is _Phase.CLEARING:
            self._deadline = now + CLEAR_S
        elif self._phase is _Phase.COUNTING:
            if self._dialect is not None and self._dialect.line_modulus is not None:
                number %= self._dialect.line_modulus  # the line before 0 is the highest
            if self._named is not None and self._named != number:
                self._last_line = None  # two numbers in one answer: noise, ask again
            self._named = number
            self._deadline = now + QUIET_S

    def _model_heard(self, text: str, now: float) -> None:
        number = line_number(text)
        if self._phase is _Phase.COUNTING and number is not None:
            # RepRapFirmware counts our unnumbered lines too.
            self._last_line = number - self._lines_sent
            self._count_done = True
            self._next(now)

    # -- the questions --

    def _next(self, now: float) -> None:
        """Ask what is still unknown, or end."""
        countable = not self._count_done and self._countable()
        if self._fields and not self._name_done:
            self._enter(_Phase.NAMING, now + NAME_QUIET_S)
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

    def _enter(self, phase: _Phase, deadline: float) -> None:
        self._phase, self._deadline, self._asked = phase, deadline, 0

    def _clear(self, now: float) -> None:
        self._enter(_Phase.CLEARING, now + CLEAR_S)
        self._send(b"")

    def _name(self, now: float) -> None:
        self._enter(_Phase.NAMING, now + ANSWER_S)
        self._ask(NAME_COMMAND.encode(), now)

    def _name_due(self, now: float) -> None:
        if self._fields:
            self._name_known(now)
        elif self._is_busy(now):
            self._wait_busy(now)
        elif self._gone(now):
            return
        elif self._alive and self._asked >= QUESTIONS:
            self._enter(_Phase.TICKLING, now)
            self._ask(b"M105", now)
        else:
            # A board that was still booting may have taken half of our line.
            self._ask(b"M115" if self._alive else b"\nM115", now)

    def _wait_busy(self, now: float) -> None:
        """M115 waits in the firmware's queue; the counter is answered even now if there is room."""
        self._deadline = now + ANSWER_S
        if self._phase is not _Phase.COUNTING and not self._count_done and self._countable():
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
        self._enter(_Phase.COUNTING, now + ANSWER_S)
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


_NOBODY = "the printer does not answer: is it switched on, and is this its port and baud rate?"
_MUTE = "the printer talks but answers no command: it may be stopped or busy; switch it off and on"
