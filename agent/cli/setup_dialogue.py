"""The questions of `fabunit setup`, on any terminal: one line each, an answer in brackets is taken with Enter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.setup_wishes import Wishes
from agent.cli.wording import printable
from agent.domain.errors import FabunitError, PortError, RefusedError, UsageError

if TYPE_CHECKING:
    from agent.coordinator.invitation import Invitation
    from agent.domain.profile import PrinterProfile
    from agent.provision.search import Met

_NEW = "new"
_NOT_MET_REMEDY = "`fabunit ports` lists the ports; to take one without asking it: --port PORT --no-test"


class Dialogue:
    """Asks for what the options leave open; with `--yes` it takes the obvious answer, or raises."""

    def __init__(self, wishes: Wishes, *, is_quiet: bool) -> None:
        self._wishes = wishes
        self._is_quiet = is_quiet
        self.is_replaced = False
        self._failures: list[PortError] = []

    def tell(self, text: str) -> None:
        """Say something on the way, to a person alone."""
        if not self._is_quiet:
            click.echo(text)

    # -- coordinator ----------------------------------------------------------------------------------------------

    def invitation(self) -> Invitation | None:
        """Read the invitation. Raises UsageError, RefusedError for a broker without TLS."""
        from agent.coordinator.invitation import parse_invitation
        from agent.provision.plan import needs_plaintext

        text = self._wishes.join or ""
        while True:
            if not text and not self._wishes.yes:
                text = click.prompt(
                    "Invitation of a coordinator (Enter: none)", default="", show_default=False
                )
            if not text:
                return None
            try:
                found = parse_invitation(text)
            except UsageError as error:
                if self._wishes.join or self._wishes.yes:
                    raise
                self.tell(error.message)
                text = ""
                continue
            if needs_plaintext(found.url) and not self._wishes.plaintext:
                self._allow_plaintext(found.url)
            return found

    def _allow_plaintext(self, url: str) -> None:
        sentence = f"{url} has no TLS: everybody on the way can read along and give orders"
        if self._wishes.yes or not click.confirm(f"{sentence}. Join all the same?", default=False):
            raise RefusedError(sentence, code="no_tls", remedy="use a broker with TLS, or take --plaintext")

    # -- printer --------------------------------------------------------------------------------------------------

    def find_printer(self) -> Met:
        """Look for printers and let a person recognise theirs. Raises PortError."""
        from agent.printer.discovery import identity_of
        from agent.provision.search import Met

        if self._wishes.no_test:
            if self._wishes.port is None:
                raise UsageError("--no-test needs --port", remedy="`fabunit ports` lists the ports")
            port = self._wishes.port
            return Met(port, port if "://" in port else identity_of(port))
        while True:
            answering = [met for met in self._meet_all() if met.answers]
            if len(answering) == 1:
                return self._recognised(answering)
            if answering and not self._wishes.yes:
                return self._recognised(answering)
            if answering:
                names = ", ".join(met.identity for met in answering)
                raise UsageError(
                    f"several printers answer: {names}", code="which_printer", remedy="name one with --port"
                )
            if self._wishes.yes:
                raise self._nobody()
            if not click.confirm("Look again?", default=True):
                raise self._nobody()

    def _meet_all(self) -> list[Met]:
        """Ask on every port that may be a printer's."""
        from agent.provision.search import likely_ports, meet

        devices = [self._wishes.port] if self._wishes.port else [port.device for port in likely_ports()]
        if not devices:
            self.tell(
                "No serial port looks like a printer's. Is it switched on, and its USB cable a data cable?"
            )
        elif not self._wishes.yes:
            self.tell(f"Ports: {', '.join(map(printable, devices))}")
            self.tell("Opening a port can restart the printer's board. Nothing may be printing on it now.")
            click.confirm("Go on?", default=True, abort=True)
        found = []
        self._failures.clear()
        for device in devices:
            self.tell(f"asking on {printable(device)} ...")
            met = meet(device, self._wishes.baud, self._cautious_profile())
            self.tell(f"  {_met_line(met)}")
            if not met.answers:
                self._failures.append(PortError(met.error, code="port_silent", remedy=met.remedy))
            found.append(met)
        return found

    def _cautious_profile(self) -> PrinterProfile:
        from agent import paths
        from agent.provision.profile_choice import GENERIC
        from agent.slicing.profiles import load_profile

        return load_profile(GENERIC, paths.profiles_dirs())

    def _nobody(self) -> PortError:
        if self._failures:
            return self._failures[0]
        return PortError("no printer was found", code="port_missing", remedy=_NOT_MET_REMEDY)

    def _recognised(self, found: list[Met]) -> Met:
        """Let a person say which of the printers that answer it is; each can show itself."""
        if self._wishes.yes:
            return found[0]
        many = len(found) > 1
        while True:
            words = f"Which one? 1-{len(found)}" if many else "Is it this one? y"
            answer = click.prompt(f"{words}, b to make it beep and show itself", default="1" if many else "y")
            choice, _, which = answer.strip().lower().partition(" ")
            if choice.startswith("b"):
                number = which or choice[1:] or "1"
                self._call(
                    found[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(found) else found[0]
                )
            elif not many and choice in ("y", "yes"):
                return found[0]
            elif not many and choice in ("n", "no"):
                raise PortError("no other printer answers", code="port_missing", remedy=_NOT_MET_REMEDY)
            elif choice.isdigit() and 0 < int(choice) <= len(found):
                return found[int(choice) - 1]

    def _call(self, met: Met) -> None:
        from agent.provision.search import call

        try:
            call(met.device, met.baud, self._cautious_profile())
        except FabunitError as error:
            self.tell(error.message)
            return
        self.tell(f"{printable(met.identity)} now shows 'fabunit is here', and beeps if it can")

    # -- name, profile --------------------------------------------------------------------------------------------

    def name_unit(self, met: Met, invited: str | None) -> tuple[str, str]:
        """Return the unit's id and what people call it. Raises UsageError."""
        from agent.provision.plan import unit_id_from

        proposal = invited or unit_id_from(met.machine) or "printer-1"
        name = self._wishes.name
        unit = self._wishes.unit or (proposal if self._wishes.yes else "")
        while True:
            if not unit:
                unit = click.prompt("Short name of the unit (a-z, 0-9, -)", default=proposal).strip()
            if unit_id_from(unit) == unit:
                break
            if self._wishes.unit or self._wishes.yes:
                raise UsageError(
                    f"{unit!r} is no unit id", code="bad_unit", remedy="3 to 64 of a-z, 0-9 and '-'"
                )
            self.tell("3 to 64 lower-case letters, digits and '-'")
            unit = ""
        if invited and unit != invited:
            raise UsageError(f"the invitation is for {invited}, not for {unit}", code="bad_invitation")
        if name is None:
            name = (
                "" if self._wishes.yes else click.prompt("What people call it", default=met.machine or unit)
            )
        if len(name) > 80 or not name.isprintable():
            raise UsageError("a name has at most 80 printable characters", code="bad_name")
        return unit, name

    def profile(self, met: Met, unit: str, name: str) -> tuple[str, str | None]:
        """Return the profile's name, and its text when it is to be made. Raises UsageError, NotFoundError."""
        from agent import paths
        from agent.provision.profile_choice import GENERIC, suggested, usable_profiles
        from agent.slicing.profiles import load_profile

        search = paths.profiles_dirs()
        if self._wishes.volume:
            return self._new_profile(self._wishes.volume, unit, name)
        entries = usable_profiles(search)
        proposal = suggested(met.machine, entries) or GENERIC
        if self._wishes.profile or self._wishes.yes:
            chosen = self._wishes.profile or proposal
            return load_profile(chosen, search).name, None
        self.tell("Profiles: " + ", ".join(f"{entry.name} ({printable(entry.title)})" for entry in entries))
        names = [entry.name for entry in entries]
        while True:
            chosen = click.prompt(f"Profile, or '{_NEW}' to make one", default=proposal).strip()
            if chosen == _NEW:
                return self._ask_new_profile(unit, name)
            if chosen in names:
                return chosen, None
            self.tell(f"there is no profile {chosen!r}")

    def _ask_new_profile(self, unit: str, name: str) -> tuple[str, str | None]:
        while True:
            text = click.prompt("Printable volume in mm", default="220x220x250")
            try:
                return self._new_profile(text, unit, name)
            except FabunitError as error:
                self.tell(error.message)

    def _new_profile(self, volume: str, unit: str, name: str) -> tuple[str, str | None]:
        from agent import paths
        from agent.provision.profile_choice import Measures, parse_volume, profile_text

        size = parse_volume(volume)
        wishes = self._wishes
        nozzle, hot, bed = wishes.nozzle_mm, wishes.max_nozzle, wishes.max_bed
        if not (wishes.yes or wishes.volume):
            nozzle = click.prompt("Nozzle in mm", default=nozzle, type=float)
            hot = click.prompt("Hottest the nozzle may get, °C", default=hot, type=float)
            bed = click.prompt("Hottest the bed may get, °C (0: not heated)", default=bed, type=float)
        measures = Measures(name or unit, size, nozzle, hot, bed)
        return unit, profile_text(measures, paths.profiles_dirs())

    # -- the end --------------------------------------------------------------------------------------------------

    def ask_to_replace(self, path: Path) -> None:
        """Raises RefusedError unless a person allows to write over the file."""
        if self._wishes.yes or not click.confirm(f"{path} exists. Write over it?", default=False):
            raise RefusedError(
                f"{path} exists", code="exists", remedy="name another unit with --id, or take --replace"
            )
        self.is_replaced = True

    def confirm(self, summary: str) -> None:
        """Show what will be, and ask. Raises click.Abort."""
        self.tell(f"\n{summary}")
        if not self._wishes.yes:
            click.confirm("Write this and start the unit?", default=True, abort=True)


def _met_line(met: Met) -> str:
    """One line about a port; below it what matters for safety."""
    if not met.answers:
        return f"nobody: {printable(met.error)}"
    who = printable(", ".join(part for part in (met.machine, met.firmware, f"{met.baud} baud") if part))
    lines = [who]
    if met.resets_again:
        lines.append(
            "  opening the port restarts the board every time: a print does not survive that the daemon dies"
        )
    elif met.resets_first:
        lines.append(
            "  the first opening restarted the board, later ones do not: a print survives the daemon"
        )
    else:
        lines.append("  opening the port does not restart the board: a print survives the daemon")
    match met.stop.parser.value:
        case "proven":
            lines.append(f"  a stop acts at once, tested: {met.stop.latency_ms or 0:.1f} ms")
        case "absent":
            lines.append("  a stop waits for a running heat-up or homing: keep the mains switch within reach")
        case _:
            lines.append("  whether a stop gets past a busy printer could not be tested")
    return "\n".join(lines)
