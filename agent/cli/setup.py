"""`fabunit setup`: from a printer on a cable to a unit that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.session import Session, WholeNumber, local_command
from agent.cli.setup_dialogue import Dialogue
from agent.cli.setup_wishes import Wishes
from agent.cli.wording import facts, printable
from agent.domain.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from agent.coordinator.invitation import Invitation
    from agent.coordinator.joining import Grant
    from agent.provision.plan import Place, UnitPlan
    from agent.provision.search import Met
    from agent.provision.writing import NewFile

_MM = click.FloatRange(0.05, 5)
_CELSIUS = click.FloatRange(0, 600)


@click.command()
@click.option("--port", metavar="PORT", help="The printer's port. Default: look at all that may be one.")
@click.option("--baud", type=WholeNumber(1200, 4_000_000), help="Default: try the usual rates.")
@click.option("--profile", metavar="NAME", help="Printer profile, see `fabunit profile list`.")
@click.option(
    "--volume", metavar="WxDxH", help="Make a profile: printable volume in mm, such as 220x220x250."
)
@click.option("--nozzle-mm", type=_MM, default=0.4, show_default=True, help="For the new profile.")
@click.option("--max-nozzle", type=_CELSIUS, default=260, show_default=True, help="For the new profile, °C.")
@click.option(
    "--max-bed",
    type=_CELSIUS,
    default=110,
    show_default=True,
    help="For the new profile, °C; 0: no heated bed.",
)
@click.option("--id", "unit", metavar="ID", help="The unit's id: 3 to 64 of a-z, 0-9, '-'.")
@click.option("--name", metavar="TEXT", help="What people call it.")
@click.option("--join", metavar="INVITATION", help="Join a coordinator: the line it gave you.")
@click.option("--plaintext", is_flag=True, help="With --join: allow a broker without TLS on another machine.")
@click.option("--no-test", is_flag=True, help="Do not open the port: take --port as it is.")
@click.option("--no-start", is_flag=True, help="Write the files, start nothing.")
@click.option("--replace", is_flag=True, help="Write over this unit's configuration.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing: take what the options and the printer say.")
@local_command
def setup(session: Session, /, **options: Any) -> None:
    """Find the printer, test it, name the unit, and start it. Asks for what no option says.

    As root it makes a service, fabunit@ID; with --config, or as another user, a file for `fabunit run`. Nothing is
    written before the last question is answered. Opening a port may restart the board: let nothing print meanwhile.
    """
    if session.as_json and not options["yes"]:
        raise UsageError(
            "--json asks no questions", remedy="take --yes with it, and an option for every answer"
        )
    wishes = Wishes(**options)
    dialogue = Dialogue(wishes, is_quiet=session.as_json)
    _demand_rights(session)
    invitation = dialogue.invitation()
    met = dialogue.find_printer()
    unit, name = dialogue.name_unit(met, invitation.unit if invitation else None)
    place = _place(session, unit)
    _demand_free(place, wishes, dialogue)
    profile, made = dialogue.profile(met, unit, name)
    plan = _plan(place, wishes=wishes, met=met, profile=profile, name=name, invitation=invitation)
    dialogue.confirm(_summary(plan, place, met))
    files = _carry_out(plan, place, invitation, (profile, made), is_replaced=dialogue.is_replaced)
    service = _start(place, wishes, dialogue, is_replaced=dialogue.is_replaced)
    document = _document(plan, place, met, files, service)
    session.show(document, lambda: _done(document))


def _demand_rights(session: Session) -> None:
    """An installed package and nobody's rights lead nowhere: say so before all questions."""
    import os

    from agent.provision.service import is_available

    if os.geteuid() != 0 and session.config is None and is_available():
        raise RefusedError(
            "only root may add a service to this machine",
            code="not_root",
            remedy="sudo fabunit setup; for a configuration of your own: fabunit setup --config fabunit.toml",
        )


def _place(session: Session, unit: str) -> Place:
    import os

    from agent.paths import CONFIG_NAME, config_dirs
    from agent.provision.plan import SYSTEM_CONFIG, Place

    if session.config is not None:
        config = session.config.absolute()
        own = Place.of_service(unit)
        return own if config == own.config else Place.of_file(config, unit)
    if os.geteuid() == 0:
        return Place.of_service(unit, SYSTEM_CONFIG)
    return Place.of_file(config_dirs()[0] / CONFIG_NAME, unit)


def _demand_free(place: Place, wishes: Wishes, dialogue: Dialogue) -> None:
    """Nothing is written over unless that was asked for."""
    import os

    if not os.path.lexists(place.config) or wishes.replace:
        dialogue.is_replaced = wishes.replace
        return
    dialogue.ask_to_replace(place.config)


def _plan(
    place: Place, *, wishes: Wishes, met: Met, profile: str, name: str, invitation: Invitation | None
) -> UnitPlan:
    from agent.provision.plan import UnitPlan, needs_plaintext

    url = invitation.url if invitation else ""
    return UnitPlan(
        unit=place.unit,
        name=name,
        port=met.identity,
        baud=wishes.baud,
        profile=profile,
        state_dir=place.state_dir,
        url=url,
        is_plaintext=bool(url) and needs_plaintext(url),
    )


def _carry_out(
    plan: UnitPlan,
    place: Place,
    invitation: Invitation | None,
    profile: tuple[str, str | None],
    *,
    is_replaced: bool,
) -> list[Path]:
    """Join and write. Ctrl-C waits: the invitation is good only once, and what it gave must not get lost."""
    from agent.coordinator.joining import Grant, join
    from agent.provision.plan import config_text
    from agent.provision.writing import undisturbed, write_all

    # Everything that can be wrong is found before the invitation is used.
    config_text(plan, place, Grant(plan.unit) if invitation else None)
    with undisturbed():
        grant = join(invitation) if invitation else None
        files = _files(plan, place, grant, profile, is_replaced=is_replaced)
        write_all(files)
    return [file.path for file in files]


def _files(
    plan: UnitPlan,
    place: Place,
    grant: Grant | None,
    profile: tuple[str, str | None],
    *,
    is_replaced: bool,
) -> list[NewFile]:
    from agent.provision.plan import config_text
    from agent.provision.service import drop_in
    from agent.provision.writing import NewFile

    name, made = profile
    files: list[NewFile] = []
    if made is not None:
        files.append(NewFile(place.profiles / "printers" / f"{name}.toml", made, may_replace=is_replaced))
    if grant is not None and grant.password:
        files.append(NewFile(place.password, grant.password + "\n", 0o600, may_replace=True))
    if grant is not None and grant.ca_pem:
        files.append(NewFile(place.authority, grant.ca_pem, may_replace=True))
    extra = drop_in(plan.port) if place.is_service else None
    if extra is not None:
        files.append(NewFile(place.drop_in, extra, may_replace=True))
    files.append(NewFile(place.config, config_text(plan, place, grant), may_replace=is_replaced))
    return files


def _start(place: Place, wishes: Wishes, dialogue: Dialogue, *, is_replaced: bool) -> dict[str, Any] | None:
    from agent.provision import service

    if wishes.no_start or not (place.is_service and service.is_available()):
        return None
    dialogue.tell(f"starting fabunit@{place.unit} ...")
    service.enable(place.unit, restart=is_replaced)
    status = service.first_status(place.unit)
    printer = status["printer"]
    return {
        "name": f"fabunit@{place.unit}.service",
        "printer": printer["state"],
        "detail": printer.get("detail", ""),
    }


def _summary(plan: UnitPlan, place: Place, met: Met) -> str:
    return facts([
        ("unit", f"{plan.unit} {printable(plan.name)}".rstrip()), ("port", printable(plan.port)),
        ("firmware", printable(met.firmware)), ("profile", plan.profile),
        ("coordinator", plan.url or "none: this unit works alone"), ("file", str(place.config)),
    ])  # fmt: skip


def _document(
    plan: UnitPlan, place: Place, met: Met, files: list[Path], service: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "unit": plan.unit,
        "name": plan.name,
        "config": str(place.config),
        "files": [str(path) for path in files],
        "port": plan.port,
        "profile": plan.profile,
        "printer": {
            "firmware": met.firmware,
            "machine": met.machine,
            "dialect": met.dialect,
            "baud": met.baud or None,
            "resets": {"first_open": met.resets_first, "every_open": met.resets_again},
            "stop": met.stop.to_json(),
        },
        "coordinator": plan.url or None,
        "service": service,
    }


def _done(document: dict[str, Any]) -> str:
    lines = [f"wrote {path}" for path in document["files"]]
    service = document["service"]
    if service is None:
        lines.append(f"start it: fabunit run --config {document['config']}")
    else:
        lines.append(f"{service['name']} runs; printer {service['printer']} {service['detail']}".rstrip())
        lines.append("next: fabunit status; sudo usermod -aG fabunit $USER lets you use it without sudo")
    return "\n".join(lines)
