"""`fabunit coordinator`: a small coordinator for demos, tests and workshops."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.coordinator_arguments import json_object, key_values, later_ms, unix_ms
from agent.cli.coordinator_invite import invite
from agent.cli.coordinator_text import continuity_line, order_lines, record_line, sample_line, unit_line
from agent.cli.session import Session, WholeNumber, local_command
from agent.domain.errors import FabunitError, NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.coordinator.standin.broker_link import BrokerPlace
    from agent.coordinator.standin.ledger import Ledger

# A command that did not reach its unit by then means something else than it did.
_COMMAND_VALID_S = 30
# Time for the answer to come back after the command itself is too late.
_ANSWER_GRACE_S = 2.0
_LEASE_S = 60
# What is not a rule's refusal: the command was wrong, or it was tried and did not end well.
_FAILURES: dict[str, type[FabunitError]] = {
    "malformed": UsageError,
    "unknown_command": UsageError,
    "timed_out": FabunitError,
    "interrupted": FabunitError,
}
_FILE = click.Path(path_type=Path, exists=False)
_READABLE = click.Path(path_type=Path, exists=True, dir_okay=False)

_DB = click.option(
    "--db", type=click.Path(path_type=Path, dir_okay=False), metavar="PATH", help="The coordinator's file."
)


@click.group()
def coordinator() -> None:
    """Run a small coordinator: push jobs to units, watch and command them over MQTT.

    `serve` keeps the link; every other command works on the same file, also while it does not run.
    """


@coordinator.command()
@click.option(
    "--broker",
    default="mqtt://127.0.0.1:1883",
    metavar="URL",
    help="mqtts://host:port, wss://host/path, or without TLS mqtt:// and ws://.",
)
@click.option("--with-broker", is_flag=True, help="Start mosquitto on this machine, for trying things out.")
@click.option("--username", default="", help="For the broker.")
@click.option("--password-file", type=_READABLE, help="For the broker.")
@click.option("--ca-file", type=_READABLE, help="Authority of the broker's certificate.")
@click.option("--cert", type=_READABLE, help="Our certificate for the broker.")
@click.option("--key", type=_READABLE, help="The private key of our certificate.")
@click.option("--files-host", default="127.0.0.1", metavar="ADDRESS", help="Serve files on this address.")
@click.option(
    "--files-port", default=0, type=WholeNumber(0, 65535), help="Default: a free one, kept for next time."
)
@click.option("--files-url", default="", metavar="URL", help="What units see, when a proxy stands before it.")
@_DB
@local_command
def serve(session: Session, /, db: Path | None, *, with_broker: bool, broker: str, **options: Any) -> None:
    """Take what units report, acknowledge it, send what was pushed, serve the files."""
    import contextlib

    from agent.coordinator.standin.broker import LocalBroker
    from agent.coordinator.standin.server import CoordinatorServer, ServePlan
    from agent.log import LogPlan, configure_logging

    configure_logging(LogPlan())
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(LocalBroker()).url if with_broker else broker
        plan = ServePlan(
            _db_path(db),
            _place(url, options),
            options["files_host"],
            options["files_port"],
            options["files_url"],
        )
        server = CoordinatorServer(plan)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        document = {"broker": url, "files": server.files_url, "db": str(plan.db)}
        text = f"coordinator at {url}, files at {server.files_url}, memory in {plan.db}"
        server.run(lambda: session.show(document, text))


@coordinator.command()
@click.argument("paths", nargs=-1, required=True, type=_FILE)
@click.option("--unit", "-u", "unit_ids", multiple=True, metavar="ID", help="For this unit; may be repeated.")
@click.option("--all", "to_all", is_flag=True, help="For every unit that is known.")
@click.option("--copies", default=1, type=WholeNumber(1, 1000), help="How many of each file.")
@click.option("--priority", default=0, type=WholeNumber(-100, 100), help="Higher is sooner; usual is 0.")
@click.option("--material", metavar="M", help="Print with this material.")
@click.option("--quality", metavar="Q", help="Slice with this quality.")
@click.option("--expires-in", type=WholeNumber(1), metavar="SECONDS", help="Do not begin later.")
@click.option("--starts-in", type=WholeNumber(1), metavar="SECONDS", help="Do not begin earlier.")
@click.option("--hold", is_flag=True, help="A person at the unit has to release it.")
@click.option("--erase", is_flag=True, help="The unit deletes the file after the print.")
@click.option("--inline", is_flag=True, help="Send the file within the job (up to 128 KiB).")
@click.option("--encrypt", is_flag=True, help="Only the unit can read the file.")
@click.option("--sign", is_flag=True, help="Sign the job with this coordinator's key.")
@click.option("--require", default="{}", metavar="JSON", help="What the unit must be or have.")
@click.option("--limits", default="{}", metavar="JSON", help="What the G-code must keep to.")
@click.option("--wait", is_flag=True, help="Wait until the jobs are over.")
@click.option("--timeout", type=WholeNumber(1), metavar="SECONDS", help="With --wait: no longer than this.")
@_DB
@local_command
def push(session: Session, /, db: Path | None, paths: tuple[Path, ...], **options: Any) -> int:
    """Order prints of PATHS: files, or folders of files."""
    from agent.coordinator.standin import pushing

    with _ledger(db) as ledger:
        wanted = _chosen_units(ledger, options["unit_ids"], to_all=options["to_all"])
        now_ms = unix_ms()
        wishes = pushing.Wishes(
            copies=options["copies"],
            priority=options["priority"],
            material=options["material"],
            quality=options["quality"],
            not_before_ms=later_ms(now_ms, options["starts_in"]),
            expires_ms=later_ms(now_ms, options["expires_in"]),
            is_held=options["hold"],
            is_erased=options["erase"],
            is_inline=options["inline"],
            is_encrypted=options["encrypt"],
            is_signed=options["sign"],
            require=json_object("--require", options["require"]),
            limits=json_object("--limits", options["limits"]),
        )
        pushed = pushing.push(ledger, pushing.find_files(paths), wanted, wishes, now_ms)
        if options["wait"]:
            return _wait(session, ledger, [job.job_id for job in pushed], options["timeout"])
    document = {"jobs": [dataclasses.asdict(job) for job in pushed]}
    session.show(document, lambda: "\n".join(f"{job.job_id}  {job.unit}  {job.name}" for job in pushed))
    return 0


@coordinator.command()
@click.argument("unit")
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--if-state", multiple=True, metavar="STATE", help="Only when the printer is in this state.")
@click.option("--if-job", metavar="JOB", help="Only when this job is on the printer.")
@click.option(
    "--valid",
    default=_COMMAND_VALID_S,
    type=WholeNumber(1, 86400),
    metavar="SECONDS",
    show_default=True,
    help="Too late after that.",
)
@click.option("--sign", is_flag=True, help="Sign the command with this coordinator's key.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the answer.")
@_DB
@local_command
def command(session: Session, /, db: Path | None, unit: str, name: str, **options: Any) -> None:
    """Have UNIT carry out NAME: pause, resume, cancel, stop, hold, release, move, bed_clear, identify, ..."""
    from agent.coordinator.standin.following import wait_command

    with _ledger(db) as ledger:
        _demand_unit(ledger, unit)
        cmd_id = _give(
            ledger,
            unit,
            name,
            key_values(options["arguments"]),
            valid_s=options["valid"],
            is_signed=options["sign"],
            if_state=list(options["if_state"]) or None,
            if_job=options["if_job"],
        )
        if options["no_wait"]:
            session.show({"cmd_id": cmd_id, "status": "waiting"}, cmd_id)
            return
        status, answer = wait_command(ledger, cmd_id, options["valid"] + _ANSWER_GRACE_S)
    told = answer or {}
    if status == "failed":
        code = told.get("code") or "refused"
        raise _FAILURES.get(code, RefusedError)(told.get("detail") or f"{unit} refuses {name}", code=code)
    if status in ("waiting", "late"):
        raise FabunitError(
            f"{unit} did not answer within {options['valid']} s",
            code="no_answer",
            remedy="`fabunit coordinator units` shows who is there; is `fabunit coordinator serve` running?",
        )
    session.show(
        {"cmd_id": cmd_id, "status": status, "answer": told},
        f"{unit}: {status} {told.get('detail', '')}".rstrip(),
    )


@coordinator.command()
@_DB
@local_command
def units(session: Session, db: Path | None) -> None:
    """List units: presence, printer, job, how complete their reports are."""
    from agent.coordinator.standin.records import continuity
    from agent.coordinator.standin.units import all_units

    with _ledger(db) as ledger:
        found = all_units(ledger.reading)
        sound = {item.unit: item.is_sound for item in continuity(ledger.reading) if not item.is_sound}
    document = {
        "units": [{**dataclasses.asdict(unit), "is_complete": sound.get(unit.unit, True)} for unit in found]
    }
    session.show(document, lambda: "\n".join(map(unit_line, found)) or "no unit has been heard of yet")


@coordinator.command()
@click.option("--unit", metavar="ID", help="Only this unit.")
@_DB
@local_command
def jobs(session: Session, db: Path | None, unit: str | None) -> None:
    """List the jobs that were pushed, oldest first."""
    from agent.coordinator.standin import orders

    with _ledger(db) as ledger:
        found = orders.jobs(ledger.reading, unit)
    session.show(
        {"jobs": [dataclasses.asdict(order) for order in found]},
        lambda: order_lines(found) or "nothing was pushed yet",
    )


@coordinator.command()
@click.option("--unit", metavar="ID", help="Only this unit.")
@click.option("--from-start", is_flag=True, help="Begin with the oldest record that is kept.")
@click.option("--live", is_flag=True, help="Show samples once a second instead of records; needs --unit.")
@click.option("--sign", is_flag=True, help="With --live: sign the wish for samples.")
@_DB
@local_command
def watch(
    session: Session, /, db: Path | None, unit: str | None, *, from_start: bool, **options: bool
) -> None:
    """Show records as they arrive, until interrupted; with --json one JSON document per line."""
    from agent.coordinator.standin import following

    with _ledger(db) as ledger:
        if options["live"]:
            _watch_live(session, ledger, unit, is_signed=options["sign"])
            return
        begin = 0 if from_start else following.newest(ledger)
        for seen in following.follow(ledger, begin, unit):
            if session.as_json:
                click.echo(json.dumps({"n": seen.n, "unit": seen.unit, "record": seen.record}))
            else:
                click.echo(record_line(seen.unit, seen.record))


@coordinator.command()
@click.option("--unit", metavar="ID", help="Only this unit.")
@_DB
@local_command
def verify(session: Session, db: Path | None, unit: str | None) -> int:
    """Check that no record is missing or contradictory; ends with 1 when one is."""
    from agent.coordinator.standin.records import continuity

    with _ledger(db) as ledger:
        found = continuity(ledger.reading, unit)
    is_sound = all(item.is_sound for item in found)
    document = {"is_sound": is_sound, "units": [dataclasses.asdict(item) for item in found]}
    session.show(document, "\n".join(map(continuity_line, found)) or "no unit has reported anything yet")
    return 0 if is_sound else 1


@coordinator.command()
@_DB
@local_command
def key(session: Session, db: Path | None) -> None:
    """Show this coordinator's public key, as a line for `trusted_keys` of the units."""
    from agent.coordinator.signatures import public_key, trusted_line
    from agent.coordinator.standin.pushing import key_id, signing_key

    with _ledger(db) as ledger:
        line = trusted_line(key_id(ledger), public_key(signing_key(ledger)))
        session.show({"kid": key_id(ledger), "trusted_key": line}, line)


coordinator.add_command(invite)


def _ledger(db: Path | None) -> Any:
    from contextlib import closing

    from agent.coordinator.standin.ledger import Ledger

    return closing(Ledger(_db_path(db)))


def _db_path(db: Path | None) -> Path:
    from agent.paths import state_dir

    return db or state_dir() / "coordinator.db"


def _place(url: str, options: Mapping[str, Any]) -> BrokerPlace:
    from agent.coordinator.standin.broker_link import parse_broker

    return dataclasses.replace(
        parse_broker(url),
        username=options["username"],
        password_file=str(options["password_file"] or ""),
        ca_file=str(options["ca_file"] or ""),
        client_cert=str(options["cert"] or ""),
        client_key=str(options["key"] or ""),
    )


def _chosen_units(ledger: Ledger, named: Sequence[str], *, to_all: bool) -> list[str]:
    from agent.coordinator.standin.units import all_units

    if bool(named) == to_all:
        raise UsageError("name units with --unit, or take --all", code="which_unit")
    # A unit that was never heard of may be named: the job waits for it.
    chosen = [unit.unit for unit in all_units(ledger.reading)] if to_all else list(dict.fromkeys(named))
    if not chosen:
        raise NotFoundError("no unit has been heard of yet", code="no_unit")
    return chosen


def _demand_unit(ledger: Ledger, unit: str) -> None:
    from agent.coordinator.standin.units import get

    if get(ledger.reading, unit) is None:
        raise NotFoundError(
            f"unit {unit} was never heard of", code="no_unit", remedy="`fabunit coordinator units` lists them"
        )


def _give(
    ledger: Ledger,
    unit: str,
    name: str,
    args: dict[str, Any],
    *,
    valid_s: int,
    is_signed: bool = False,
    **conditions: Any,
) -> str:
    import secrets

    from agent.coordinator.documents import command_from
    from agent.coordinator.standin.pushing import order_command

    now_ms = unix_ms()
    document = command_from(
        {
            "v": 1,
            "cmd_id": f"k-{secrets.token_hex(6)}",
            "command": name,
            "args": args,
            "unit": unit,
            "expires": now_ms + valid_s * 1000,
            "sent": now_ms,
            **conditions,
        }
    )
    order_command(ledger, document, unit, is_signed=is_signed)
    return document.cmd_id


def _watch_live(session: Session, ledger: Ledger, unit: str | None, *, is_signed: bool) -> None:
    from agent.coordinator.standin.following import follow_live

    if unit is None:
        raise UsageError("--live needs --unit", code="which_unit")
    _demand_unit(ledger, unit)

    def renew() -> None:
        _give(ledger, unit, "watch", {"seconds": _LEASE_S}, valid_s=10, is_signed=is_signed)

    for sample in follow_live(ledger, unit, renew, _LEASE_S / 2):
        if session.as_json:
            click.echo(json.dumps(sample))
            continue
        click.echo(sample_line(sample))


def _wait(session: Session, ledger: Ledger, job_ids: list[str], timeout_s: int | None) -> int:
    from agent.coordinator.standin.following import wait_orders

    found = wait_orders(ledger, job_ids, timeout_s)
    session.show({"jobs": [dataclasses.asdict(order) for order in found]}, lambda: order_lines(found))
    states = {order.state for order in found}
    if states == {"completed"}:
        return 0
    return 4 if states & {"rejected", "refused"} else 1
