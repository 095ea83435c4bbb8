"""`fabunit doctor`: what is wrong here, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.session import Session, daemon_command
from agent.cli.wording import printable

if TYPE_CHECKING:
    from agent.ops.doctor.broker import BrokerFacts
    from agent.ops.doctor.examination import Configured, Subject
    from agent.settings import Settings

_MARKS = {
    "ok": ("ok     ", "green"),
    "note": ("note   ", "cyan"),
    "warning": ("warning", "yellow"),
    "error": ("error  ", "red"),
}
_SYSTEM_CONFIG = Path("/etc/fabunit")
# A daemon that does not answer within this hangs; the examination goes on without it.
_ASK_TIMEOUT_S = 5.0


@click.command()
@click.option("--quick", is_flag=True, help="Do not start slicers to ask for their versions.")
@daemon_command
def doctor(session: Session, quick: bool) -> int:
    """Examine installation, configuration, printer, port, disk, board and link.

    Each finding says what is wrong and the command that mends it. Where the link is down, the way to each broker is
    tried: its name, its port, its certificate. Exit code 1 when something is an error; warnings and notes leave it 0.
    Works with the daemon down.
    """
    from agent.ops.doctor.examination import examine

    report = examine(subject(session), with_slicers=not quick)
    document = report.to_document()
    session.show(document, lambda: _text(document))
    return 1 if document["worst"] == "error" else 0


def subject(session: Session) -> Subject:
    """Read the configuration and ask the daemon; whatever fails becomes part of the subject."""
    from agent.control.client import ControlClient
    from agent.domain.errors import FabunitError
    from agent.ops.doctor.examination import Subject
    from agent.settings import Settings, load_settings

    config = session.config or default_config()
    settings, configured, config_failure = None, None, None
    defaults = _configured(Settings())
    try:
        settings = load_settings(config)
        configured = _configured(settings)
    except FabunitError as error:
        config_failure = error
    status: dict[str, Any] | None = None
    learned, failure = None, None
    path = session.socket_path or Path("fabunit.sock")
    try:
        path = session.socket()
        client = ControlClient(path, timeout_s=_ASK_TIMEOUT_S)
        status = client.get("/v1/status")
        learned = client.get("/v1/printer").get("learned")
    except FabunitError as error:
        failure = error
    is_online = ((status or {}).get("link") or {}).get("state") == "online"
    brokers = () if settings is None or is_online else _brokers(settings)
    return Subject(
        config, configured, defaults, config_failure, path, status, learned, failure, Path("/"), brokers
    )


def _brokers(settings: Settings) -> tuple[BrokerFacts, ...]:
    """Try the way to each broker: the daemon's link is not up, or there is no daemon to tell."""
    link = settings.coordinator
    if not link.is_on:
        return ()
    from agent.coordinator.reachability import TlsFiles, reach_all
    from agent.domain.events import ClockState
    from agent.ops.doctor.broker import BrokerFacts
    from agent.storage.clock import SystemClock

    is_clock_set = link.trust_clock or SystemClock().stamp().clk is not ClockState.UNSYNC
    files = TlsFiles(link.ca_file, link.client_cert, link.client_key)
    return tuple(
        BrokerFacts(tried.broker, tried.failure.detail, tried.failure.remedy)
        if tried.failure
        else BrokerFacts(tried.broker)
        for tried in reach_all(link.addresses, files, is_clock_set=is_clock_set)
    )


def _configured(settings: Settings) -> Configured:
    from agent.ops.doctor.examination import Configured

    link = settings.coordinator
    secrets = (link.password_file, link.client_key, settings.http.api_key_file)
    return Configured(
        unit_id=settings.unit.id,
        state_dir=settings.unit.state_dir,
        port=settings.printer.port,
        profile=settings.printer.profile,
        min_free_bytes=settings.limits.min_free_bytes,
        secrets=tuple(path for path in secrets if path is not None),
    )


def default_config(folder: Path = _SYSTEM_CONFIG) -> Path | None:
    """Return the configuration in use, else the only one of a unit that runs as a service. Raises UsageError."""
    from agent.domain.errors import UsageError
    from agent.paths import default_config as usual

    found = usual()
    if found is not None:
        return found
    units = sorted(folder.glob("*.toml"))
    if len(units) > 1:
        raise UsageError(
            f"this machine has {len(units)} units: {', '.join(unit.stem for unit in units)}",
            remedy=f"name one: --config {units[0]}",
        )
    return units[0] if units else None


def _text(document: dict[str, Any]) -> str:
    lines = []
    for finding in document["findings"]:
        word, colour = _MARKS[finding["level"]]
        lines.append(
            f"{click.style(word, fg=colour)}  {finding['check']:<16}  {printable(finding['message'])}"
        )
        if finding["remedy"]:
            lines.append(f"{'':9}{'':16}  {click.style('→', bold=True)} {printable(finding['remedy'])}")
    counts = document["counts"]
    told = [
        f"{counts[level]} {level}{'s' if counts[level] != 1 else ''}"
        for level in ("error", "warning", "note")
    ]
    lines += ["", f"{len(document['findings'])} checks: {', '.join(told)}"]
    return "\n".join(lines)
