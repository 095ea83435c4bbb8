"""A print that goes on after its board was reset: the steps of the return, each checked before the next.

Event loop only. Once the first of them was sent, the board's position is made up by us; a daemon that dies in between
leaves a checkpoint behind which nothing is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

from agent.domain.artefact import Severity
from agent.domain.errors import FabunitError
from agent.domain.job import Reason
from agent.domain.printer import PrinterState
from agent.domain.prints import PrintOutcome, SalvagePlan
from agent.gcode.modal import ModalState
from agent.gcode.rules import Origin, check_command
from agent.printer import procedures, salvage
from agent.printer.link import PrinterLink
from agent.printer.print_access import Wanted
from agent.printer.print_steps import PrintSteps
from agent.printer.salvage import HEIGHT_SLACK_MM, Return

NOTE_DOUBT_S = 10.0
"""How old the note of an earlier daemon of this boot can be; see `agent.jobs.contact`."""
DISK_DOUBT_S = 60.0
"""The same after a restart of the machine."""


class NotSalvagedError(FabunitError):
    """The return was broken off; nothing was printed."""

    code = "not_salvaged"


class SalvageSteps(PrintSteps):
    """What a run does around a reset: propose how to go on, and do it when a person wants it."""

    async def _lost(self, link: PrinterLink, detail: str) -> PrintOutcome:
        """The board was reset: the print has failed, and somebody may want to know where it stood."""
        outcome = self._failed(Reason.PRINTER_RESET, detail)
        if self._snapshot is not None:
            return outcome  # it was parked, or never began: where the nozzle stands now says nothing about the part
        with contextlib.suppress(OSError, ValueError):  # without the file there is nothing to go on with
            outcome = self.tally.with_salvage(outcome, await asyncio.to_thread(self._propose, link))
        return outcome

    def _propose(self, link: PrinterLink) -> salvage.Proposal:
        contact, doubt_s = self.order.contact, 0.0
        if self.order.resume and not self._known_line and contact is None:
            return salvage.Proposal(0, obstacle="nothing is left that tells how far it had come")
        if self.order.resume and not self._known_line:
            doubt_s = DISK_DOUBT_S if contact is None or contact.age_s is None else NOTE_DOUBT_S
        machine = (self._access.profile, link.identity.dialect)
        return salvage.propose(self.order.path, self.order.prepared, self.tally.line, doubt_s, machine)

    async def _return_to_part(self, link: PrinterLink, plan: SalvagePlan) -> None:
        """Bring the nozzle back to the place behind line `plan.line`. Raises NotSalvagedError, LinkDownError."""
        access = self._access
        access.set_state(PrinterState.RESUMING, f"goes back to the part at {plan.height_mm:g} mm")
        back = await asyncio.to_thread(
            salvage.read_return,
            self.order.path,
            self.order.prepared,
            plan.line,
            plan.height_mm,
            ModalState.start(access.dialect_name),
        )
        if back is None:
            raise NotSalvagedError("the file does not tell where the nozzle is at that line")
        if back.lift_mm(access.profile) < salvage.LEAST_LIFT_MM:
            raise NotSalvagedError("there is no room above the part for the head to travel")
        self._check(back)
        await self._checkpoint("salvaging", plan.line)
        await link.open_session(access.host_base())
        await self._arm(link)
        await self._step(link, ["M400", "M114"])
        moved = {
            axis: value
            for axis, value in self._at().items()
            if axis in "XYZ" and abs(value) > HEIGHT_SLACK_MM
        }
        if moved:
            raise NotSalvagedError(f"the head was moved since the reset: the printer stands at {moved}")
        await self._step(link, salvage.heat(back.modal))
        await self._step(link, salvage.lift(back, access.profile))
        self._demand_height(back)
        await self._step(link, salvage.home())
        self._demand_height(back)
        await self._step(link, salvage.approach(back, access.profile))

    def _check(self, back: Return) -> None:
        """Hold what we have composed against the rules that a maker's own scripts must pass."""
        profile = self._access.profile
        composed = [
            *salvage.heat(back.modal), *salvage.lift(back, profile), *salvage.home(), *salvage.approach(back, profile),
        ]  # fmt: skip
        for command in composed:
            for finding in check_command(command, profile, self._access.dialect_name, origin=Origin.SCRIPT):
                if finding.severity is Severity.ERROR:
                    raise NotSalvagedError(f"{command}: {finding.message}")
        low, high = (0.0, 0.0), profile.volume_mm[:2]
        reach = profile.reach_mm[:2] if profile.reach_mm else tuple(zip(low, high, strict=True))
        for value, (least, most) in zip((back.place.x, back.place.y), reach, strict=True):
            if value is None or not least <= value <= most:
                raise NotSalvagedError(f"the place in the file ({value}) is outside this printer")

    async def _step(self, link: PrinterLink, commands: list[str]) -> None:
        for command in commands:
            await self._command(link, command)
            if self._wanted is not Wanted.RUN:
                raise NotSalvagedError(f"{self._wanted.value} was asked for on the way back to the part")

    def _at(self) -> dict[str, float]:
        return self._access.tracked.position

    def _demand_height(self, back: Return) -> None:
        """The board must say that it stands above the part: a lift it refused would drive the head through it."""
        height = self._at().get("Z", math.nan)
        if not height >= back.travel_mm(self._access.profile) - HEIGHT_SLACK_MM:
            raise NotSalvagedError(
                f"the printer says that it stands at {height:g} mm, that is not above the part"
            )

    async def _cool(self, link: PrinterLink) -> str:
        """Everything off, nothing moved; returns what went wrong, if anything."""
        try:
            await link.open_session(self._access.host_base())
            for command in procedures.cool_down(self._access.profile):
                await link.command(command)
            await self._disarm(link)
        except FabunitError as error:
            return f"; the heaters could not be switched off: {error.message}"
        return ""
