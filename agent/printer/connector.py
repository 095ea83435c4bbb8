"""From "there may be a printer" to an open port with a known firmware: find, open, try baud rates, shake hands.

Blocking; runs in a worker thread of its own. Nothing here resets a board unless that is asked for.
"""

from __future__ import annotations

import select
import threading
import time
from dataclasses import dataclass

from agent.domain.errors import PortError
from agent.domain.printer import FirmwareInfo
from agent.domain.profile import PrinterProfile
from agent.printer.dialects import Dialect, by_name
from agent.printer.discovery import PortInfo, resolve
from agent.printer.handshake import Answered, BoardHalted, Garbage, Handshake, Silent
from agent.printer.port import Port, open_port
from agent.printer.replies import Ok, parse_line
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize

COMMON_BAUDS = (115200, 250000, 230400, 500000, 1000000, 57600)
GIVE_UP_POLL_S = 0.2
"""How soon a search for a silent board notices that the daemon stops."""
MODEL_SPEED = "MODEL_SPEED"
"""Field of M115 in which the virtual printer tells that its heaters run faster than life."""
MODEL_SPEED_MOST = 10_000.0
"""More is no model: heat rules stretched by it would watch nothing."""
FIRST_PATIENCE_S = 10.0
"""For the first baud rate: opening may have reset the board, and boot loaders take seconds."""
NEXT_PATIENCE_S = 3.0
"""For further rates of the same open: the board has booted by then."""
SETUP_S = 1.0
"""For the oks of the reporting set-up; a board that is busy answers later, which does no harm."""
REPORT_EVERY_S = 1
KEEPALIVE_S = 1
"""`busy` once a second: a lost ok of a long command is noticed in 1.3 s instead of 2.3 s."""


@dataclass(slots=True)
class _Known:
    """What the last connection has learnt."""

    identity: str
    baud: int
    dialect: Dialect
    firmware: FirmwareInfo | None


class Connector:
    """Connects one unit to its printer. `connect` belongs to one thread at a time."""

    def __init__(self, spec: str, baud: int | None, profile: PrinterProfile, dialect: str = "auto") -> None:
        """`baud` None means to try; `dialect` "auto" means to ask the firmware. Raises PortError for unknown ones."""
        self.spec = spec
        self._baud = baud
        self._profile = profile
        self._forced = None if dialect == "auto" else by_name(dialect)
        if dialect != "auto" and self._forced is None:
            msg = f"the dialect {dialect!r} is not known"
            raise PortError(msg, code="port_unsupported", remedy='Set [printer] dialect to "auto".')
        self._given_up = threading.Event()
        self._known: _Known | None = None

    def use(self, spec: str) -> None:
        """Connect to this port from now on."""
        self.spec = spec
        self._known = None

    def give_up(self) -> None:
        """End a running search for a printer, from any thread: the daemon stops."""
        self._given_up.set()

    def connect(
        self, transcript: Transcript, *, reset: bool = False, known_only: bool = False
    ) -> tuple[Port, Answered]:
        """Open the printer's port and find out who answers.

        `reset` pulses DTR first (to revive a halted board). `known_only` tries no other baud rate than the one that
        worked last time. Raises PortError naming every port and rate tried.
        """
        tried: list[str] = []
        failures: list[PortError] = []
        for candidate in resolve(self.spec, self._known.identity if self._known else None):
            try:
                return self._connect_to(candidate, transcript, reset=reset, known_only=known_only)
            except PortError as failure:
                if failure.code == "printer_halted":
                    raise
                failures.append(failure)
                tried.append(failure.message)
        if len(failures) == 1:
            raise failures[0]
        raise PortError("; ".join(tried), code="port_silent", remedy=_SILENT_REMEDY)

    def window(self, identity: Answered) -> WindowSize:
        """How much may be in flight with this printer."""
        dialect, profile = identity.dialect, self._profile
        return WindowSize(
            profile.window_lines or dialect.window_lines, profile.window_bytes or dialect.window_bytes
        )

    def reports_by_itself(self, identity: Answered) -> bool:
        """Whether temperatures come without being asked for."""
        if identity.dialect.autoreport is None:
            return False
        return identity.firmware is None or identity.firmware.capabilities.get("AUTOREPORT_TEMP", False)

    def model_speed(self, identity: Answered) -> float:
        """How many times faster than life a virtual printer runs; 1.0 for every real one."""
        fields = identity.firmware.fields if identity.firmware else {}
        try:
            speed = float(fields.get(MODEL_SPEED, 1.0))
        except ValueError:
            return 1.0
        return speed if 1.0 <= speed <= MODEL_SPEED_MOST else 1.0

    # -- one port -------------------------------------------------------------------------------------------------

    def _connect_to(
        self, candidate: PortInfo, transcript: Transcript, *, reset: bool, known_only: bool
    ) -> tuple[Port, Answered]:
        patience_s = FIRST_PATIENCE_S
        answers: list[Silent | Garbage] = []
        bauds = self._bauds(candidate, known_only=known_only)
        for baud in bauds:
            port = open_port(candidate.device, baud)
            try:
                if reset:
                    _pulse(port, transcript)
                answer = self._shake_hands(port, transcript, patience_s)
            except BaseException:
                port.close()
                raise
            if isinstance(answer, Answered):
                self._known = _Known(port.identity, baud, answer.dialect, answer.firmware)
                return port, answer
            port.close()
            if isinstance(answer, BoardHalted):
                message = f"the printer is halted: {answer.text}"
                raise PortError(
                    message, code="printer_halted", remedy="Find the cause, then reset the printer."
                )
            answers.append(answer)
            patience_s = NEXT_PATIENCE_S
        raise _refusal(candidate, bauds, answers)

    def _bauds(self, candidate: PortInfo, *, known_only: bool) -> list[int]:
        if self._baud is not None:
            return [self._baud]
        if known_only and self._known is not None:
            return [self._known.baud]
        remembered = [self._known.baud] if self._known and self._known.identity == candidate.identity else []
        if "://" in candidate.device:
            return [*remembered, *self._profile.bauds][:1]
        return list(dict.fromkeys([*remembered, *self._profile.bauds, *COMMON_BAUDS]))

    def _shake_hands(
        self, port: Port, transcript: Transcript, patience_s: float
    ) -> Answered | Silent | Garbage | BoardHalted:
        known = self._known if self._known and self._known.identity == port.identity else None
        handshake = Handshake(
            forced=self._forced,
            remembered=known.dialect if known else None,
            firmware=known.firmware if known else None,
            patience_s=patience_s,
        )
        wire = _Wire(port, transcript)
        handshake.start(time.monotonic())
        while handshake.result is None:
            wire.write(handshake.outgoing())
            deadline = handshake.deadline()
            now = time.monotonic()
            wait_s = (deadline if deadline is not None else now + 1) - now
            data = wire.read(max(0.0, min(wait_s, GIVE_UP_POLL_S)))
            if self._given_up.is_set():
                raise PortError("the daemon is stopping", code="port_lost")
            now = time.monotonic()
            handshake.feed(data, now)
            handshake.on_deadline(now)
        if isinstance(handshake.result, Answered) and not handshake.result.busy:
            self._set_up(wire, handshake.result)
        return handshake.result

    def _set_up(self, wire: _Wire, answer: Answered) -> None:
        """Have the firmware report temperatures and signs of life by itself; unnumbered and harmless."""
        lines = []
        if answer.dialect.keepalive:
            lines.append(f"M113 S{KEEPALIVE_S}")
        if answer.dialect.autoreport and self.reports_by_itself(answer):
            lines.append(answer.dialect.autoreport.format(s=REPORT_EVERY_S))
        for line in lines:
            wire.write(line.encode() + b"\n")
            wire.wait_ok(SETUP_S)


class _Wire:
    """Blocking reads and writes on a port for the few lines before the printer thread takes over."""

    def __init__(self, port: Port, transcript: Transcript) -> None:
        self._port = port
        self._transcript = transcript
        self._poller = select.poll()
        self._poller.register(port.fileno(), select.POLLIN)

    def write(self, data: bytes) -> None:
        if data:
            self._transcript.sent(data, time.monotonic())
        while data:
            data = data[self._port.write(data) :]

    def read(self, timeout_s: float) -> bytes:
        if not self._poller.poll(timeout_s * 1000):
            return b""
        data = self._port.read()
        self._transcript.received(data, time.monotonic())
        return data

    def wait_ok(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        rest = b""
        while (left := end - time.monotonic()) > 0:
            *lines, rest = (rest + self.read(left)).split(b"\n")
            if any(isinstance(reply, Ok) for line in lines for reply in parse_line(line)):
                return


def _pulse(port: Port, transcript: Transcript) -> None:
    try:
        port.pulse_dtr()
    except PortError as error:
        transcript.note(f"no reset through DTR: {error.message}", time.monotonic())


def _refusal(candidate: PortInfo, bauds: list[int], answers: list[Silent | Garbage]) -> PortError:
    """One sentence for all rates tried; noise at every rate says more than silence."""
    noise = next((answer for answer in answers if isinstance(answer, Garbage)), None)
    answer = noise or answers[-1]
    rates = ", ".join(map(str, bauds))
    message = f"{candidate.device} (tried {rates} baud): {answer.sentence}"
    if noise is not None:
        return PortError(
            message, code="port_wrong_baud", remedy="Set [printer] baud to the rate of the firmware."
        )
    return PortError(message, code="port_silent", remedy=_SILENT_REMEDY)


_SILENT_REMEDY = "Switch the printer on, check the USB cable, and look at `fabunit ports`."
