"""What people do with the printer directly: console lines, homing, heating, answers to its questions.

The half of the printer service that acts while nothing is printed or a print is paused; `PrinterService` is the other.
Event loop only.
"""

from __future__ import annotations

import random

from agent.domain.errors import RefusedError
from agent.domain.printer import PrinterState
from agent.domain.profile import PrinterProfile
from agent.printer import commands
from agent.printer.connection import Connection, Shown
from agent.printer.link import PrinterLink
from agent.printer.print_run import PrintRun
from agent.printer.takeover import HOST_BASES
from agent.printer.tracker import Tracked, answered


class DirectControl:
    """The state that both halves share, and the commands of a person."""

    _connection: Connection

    def __init__(self, profile: PrinterProfile) -> None:
        self.profile = profile
        self._shown = Shown()
        self._tracked = Tracked()
        self._run: PrintRun | None = None
        self._random = random.SystemRandom()

    @property
    def dialect_name(self) -> str:
        """The firmware's dialect; empty while no printer is connected."""
        link = self._connection.link
        return link.identity.dialect.name if link is not None else ""

    def host_base(self) -> int:
        """A random first number for lines of the host's own."""
        return self._random.randrange(HOST_BASES.start, HOST_BASES.stop - 100_000)

    async def connect(self, port: str | None = None) -> None:
        """Connect (again); a halted board is reset through DTR where the port can do that."""
        self._connection.connect(port)

    async def disconnect(self) -> None:
        """Let the port go; refused while printing."""
        if self._run is not None:
            msg = "the printer is printing"
            raise RefusedError(msg, code="printing", remedy="cancel the print first")
        self._connection.disconnect()

    async def command(self, line: str) -> list[str]:
        """One console line under the safety rules; returns the printer's reply lines."""
        text = commands.checked(line, self.profile, self.dialect_name)
        return await (await self._idle_link(beside_a_part=not commands.homes(text))).command(text)

    async def home(self, axes: str = "") -> None:
        """Home all axes, or those named (any of XYZ); refused beside a half-made part."""
        await (await self._idle_link(beside_a_part=False)).command(commands.home(axes))

    async def heat(self, heater: str, celsius: float) -> None:
        """Set one target; refused above the profile's limit."""
        await (await self._idle_link()).command(commands.heat(heater, celsius, self.profile))

    async def cool(self) -> None:
        """All heaters and the part fan off."""
        link = await self._idle_link()
        for command in commands.cool(self.profile):
            await link.command(command)

    async def answer_prompt(self, choice: int) -> None:
        """Answer the printer's question with the choice of this index."""
        link = self._connected()
        prompt = self._tracked.prompt
        if prompt is None:
            msg = "the printer does not ask anything"
            raise RefusedError(msg, code="no_prompt")
        link.urgent(commands.answer(choice, prompt, link.identity))
        self._tracked = answered(self._tracked)

    def _connected(self) -> PrinterLink:
        if self._connection.link is None:
            msg = f"no printer is connected ({self._shown.detail or self._shown.state.value})"
            raise RefusedError(msg, code="offline", remedy="see `fabunit printer info` and `fabunit ports`")
        return self._connection.link

    async def _idle_link(self, *, beside_a_part: bool = True) -> PrinterLink:
        link = self._connected()
        if self._run is None:
            await self._host_session(link)
        elif not (beside_a_part and self._shown.state is PrinterState.PAUSED):
            msg = f"the printer is {self._shown.state.value}"
            remedy = "Pause or cancel the print first." if beside_a_part else "Cancel the print first."
            raise RefusedError(msg, code="printing", remedy=remedy)
        return link

    async def _host_session(self, link: PrinterLink) -> None:
        if link.engine.base not in HOST_BASES:
            await link.open_session(self.host_base())
