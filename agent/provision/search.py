"""Finding the printer: opens ports, asks who is there, and learns what opening does to the board. Blocking."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.errors import PortError
from agent.domain.profile import PrinterProfile
from agent.printer.connector import Connector
from agent.printer.discovery import PortInfo, list_ports
from agent.printer.port import Port
from agent.printer.stop_path import UNTESTED, StopPath
from agent.printer.transcript import Transcript
from agent.printer.wire import Wire

CALL_S = 2.0
"""For the oks of a beep and a line on the display."""
_NO_PRINTER = 9


@dataclass(frozen=True, slots=True)
class Met:
    """A port and who answered on it; `error` when nobody did.

    `resets_first`: the board restarted when the port was opened for the first time; `resets_again`: also the second
    time, so that a restart of the daemon would end a print.
    """

    device: str
    identity: str
    description: str = ""
    baud: int = 0
    dialect: str = ""
    firmware: str = ""
    machine: str = ""
    stop: StopPath = UNTESTED
    resets_first: bool = False
    resets_again: bool = False
    error: str = ""
    remedy: str = ""

    @property
    def answers(self) -> bool:
        """Somebody is there."""
        return not self.error


def likely_ports() -> list[PortInfo]:
    """Return the ports that may be a printer's, the likeliest first."""
    return [port for port in list_ports() if port.rank < _NO_PRINTER]


def meet(device: str, baud: int | None, profile: PrinterProfile) -> Met:
    """Open a port twice and find out who is there. Takes seconds; the first opening may restart the board."""
    try:
        first = _Visit(device, baud, profile)
        first.leave()
        second = _Visit(device, first.port.baud, profile)
        second.leave()
    except PortError as error:
        return Met(device, device, error=error.message, remedy=error.remedy)
    firmware = first.answer.firmware or second.answer.firmware
    learned = second.connector.learned or first.connector.learned
    stops = [visit.connector.stop_path for visit in (first, second)]
    return Met(
        device=device,
        identity=first.port.identity,
        baud=first.port.baud,
        dialect=first.answer.dialect.name,
        firmware=firmware.name if firmware else "",
        machine=firmware.machine if firmware else "",
        stop=next((stop for stop in stops if stop.tested), learned.stop if learned else UNTESTED),
        resets_first=first.answer.restarted or bool(first.answer.greeting),
        resets_again=second.answer.restarted or bool(second.answer.greeting),
    )


def call(device: str, baud: int, profile: PrinterProfile) -> None:
    """Have the printer show itself: a line on its display and a beep. Raises PortError."""
    visit = _Visit(device, baud, profile)
    try:
        for line in (b"M117 fabunit is here\n", b"M300 S880 P400\n"):
            visit.wire.write(line)
            visit.wire.wait_ok(CALL_S)
    finally:
        visit.leave()


class _Visit:
    """One opening of a port. Raises PortError when nobody answers."""

    def __init__(self, device: str, baud: int | None, profile: PrinterProfile) -> None:
        self.connector = Connector(device, baud, profile)
        transcript = Transcript()
        self.port: Port
        self.port, self.answer = self.connector.connect(transcript)
        self.wire = Wire(self.port, transcript)

    def leave(self) -> None:
        """Close the port; what the printer still says by itself is left unread."""
        self.connector.let_go()
        self.port.close()
