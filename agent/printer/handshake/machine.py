"""Finding out who is there, right after a port was opened, without resetting or moving anything.

First a lone line end: it finishes a line that a dead host left half sent, and its refusal makes Marlin throw
away what is still in its receive ring, so nothing else may be on its way then. Then, for a firmware known
from before, the line counter (an impossible line number is refused with `Last Line: k`); for a stranger M115,
then the counter. A counter counts only when two questions in a row get the same answer, since refusals of an
earlier host's lines look just the same. A busy firmware is not asked again: its few queue places must stay
free for a stop.
"""

from __future__ import annotations

from agent.printer.dialects import Counter, OkOn, identify
from agent.printer.handshake.answers import firmware_info, line_number
from agent.printer.handshake.asking import NAME_COMMAND, Asking, Phase
from agent.printer.handshake.results import BoardHalted
from agent.printer.handshake.timing import (
    BOOT_QUIET_S,
    CLEAR_S,
    HALT_WAIT_S,
    MAX_LINE_BYTES,
    NAME_QUIET_S,
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


class Handshake(Asking):
    """One handshake on an open port. All times are monotonic seconds given by the caller."""

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
            case Phase.CLEARING:
                self._next(now)
            case Phase.BOOTING:
                self._clear(now)
            case Phase.HALTED if self._halted is not None:
                self.result = BoardHalted(self._halted.text, self._halted.reason)
            case Phase.NAMING:
                self._name_due(now)
            case Phase.COUNTING:
                self._count_due(now)
            case Phase.TICKLING:
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
                self._phase = Phase.HALTED
                self._deadline = now + HALT_WAIT_S
            case Busy():
                self._busy_s = now
            case TemperatureReport(heaters=heaters, waiting=waiting):
                self._temperatures.update(heaters)
                if waiting:  # a blocking heat-up; the only sign of it on firmwares without busy lines
                    self._busy_s = now
                if self._phase is Phase.TICKLING and any(isinstance(other, Ok) for other in line):
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
        if self._phase is Phase.NAMING and isinstance(reply, UnknownCommand):
            if reply.text.strip() == NAME_COMMAND:  # else it was damaged on its way, and is asked again
                self._name_known(now)
        elif self._phase is Phase.COUNTING and self._dialect and self._dialect.counter is Counter.M409:
            self._count_done = True  # RepRapFirmware 2 has no object model
            self._next(now)

    def _acknowledged(self, now: float) -> None:
        if self._phase is Phase.CLEARING:
            self._deadline = max(self._deadline or now, now + QUIET_S)
        elif self._phase is Phase.NAMING and self._fields and not self._acknowledges_early():
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
        self._phase = Phase.BOOTING
        self._deadline = now + BOOT_QUIET_S

    def _name_heard(self, now: float) -> None:
        if self._phase in (Phase.NAMING, Phase.TICKLING):
            self._phase = Phase.NAMING
            self._deadline = now + NAME_QUIET_S

    def _count_heard(self, number: int, now: float) -> None:
        if self._phase is Phase.CLEARING:
            self._deadline = now + CLEAR_S
        elif self._phase is Phase.COUNTING:
            if self._dialect is not None and self._dialect.line_modulus is not None:
                number %= self._dialect.line_modulus  # the line before 0 is the highest
            if self._named is not None and self._named != number:
                self._last_line = None  # two numbers in one answer: noise, ask again
            self._named = number
            self._deadline = now + QUIET_S

    def _model_heard(self, text: str, now: float) -> None:
        number = line_number(text)
        if self._phase is Phase.COUNTING and number is not None:
            # RepRapFirmware counts our unnumbered lines too.
            self._last_line = number - self._lines_sent
            self._count_done = True
            self._next(now)
