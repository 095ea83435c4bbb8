"""`fabunit coordinator invite`: one line with which a unit joins."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from agent.cli.session import Session, WholeNumber, local_command

_READABLE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("unit")
@click.option(
    "--broker", default="mqtt://127.0.0.1:1883", metavar="URL", help="How the unit reaches the broker."
)
@click.option("--ca-file", type=_READABLE, help="Authority of the broker's certificate, when it is your own.")
@click.option(
    "--broker-passwords",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="mosquitto's password file: the unit's lasting password is entered there.",
)
@click.option(
    "--hours", default=24, show_default=True, type=WholeNumber(1, 8760), help="How long it is good."
)
@click.option(
    "--db", type=click.Path(path_type=Path, dir_okay=False), metavar="PATH", help="The coordinator's file."
)
@local_command
def invite(
    session: Session,
    unit: str,
    *,
    broker: str,
    ca_file: Path | None,
    broker_passwords: Path | None,
    hours: int,
    db: Path | None,
) -> None:
    """Invite UNIT: prints one line for `fabunit setup --join`. It can be used once, while `serve` runs.

    An earlier invitation for the same unit is void. Have mosquitto read a changed password file with SIGHUP.
    """
    from agent.coordinator.broker_address import parse_address
    from agent.coordinator.standin.invitations import invite as make
    from agent.coordinator.standin.ledger import Ledger
    from agent.domain.errors import UsageError
    from agent.paths import state_dir

    try:
        address = parse_address(broker)
    except ValueError as error:
        raise UsageError(f"--broker: {error}", code="bad_broker") from None
    ca_pem = ca_file.read_text(encoding="utf-8") if ca_file else ""
    with closing(Ledger(db or state_dir() / "coordinator.db")) as ledger:
        made = make(ledger, unit, str(address), ca_pem=ca_pem, passwords=broker_passwords, hours=hours)
    session.show({"unit": unit, "invitation": made.line(), "hours": hours}, made.line())
