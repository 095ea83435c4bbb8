"""`fabunit logs`: what the daemon says."""

from __future__ import annotations

import json
from typing import Any

import click

from agent.cli.session import Session, WholeNumber, daemon_command
from agent.cli.wording import clock_s, printable

_FIXED = ("t_ms", "level", "event", "seq", "exception")
_COLOUR = {
    "debug": "bright_black",
    "info": "cyan",
    "warning": "yellow",
    "error": "red",
    "critical": "bright_red",
}


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new entries until interrupted.")
@click.option(
    "-n",
    "count",
    type=WholeNumber(1, 5000),
    default=100,
    metavar="N",
    show_default=True,
    help="How many entries.",
)
@daemon_command
def logs(session: Session, follow: bool, count: int) -> None:
    """Show the newest entries of the daemon's log. With --follow and --json: one document per line."""
    client = session.client()
    if not follow:
        document = client.get("/v1/logs", n=count)
        session.show(document, lambda: "\n".join(_line(entry) for entry in document["entries"]))
        return
    for entry in client.stream("/v1/logs/stream", n=count):
        click.echo(json.dumps(entry) if session.as_json else _line(entry))


def _line(entry: dict[str, Any]) -> str:
    level = str(entry["level"])
    own = [
        f"{name}={printable(value)}"
        for name, value in entry.items()
        if name not in _FIXED and value is not None
    ]
    shown_level = click.style(level.ljust(8), fg=_COLOUR.get(level))
    line = f"{clock_s(entry['t_ms'])} {shown_level} {printable(entry['event'])}"
    exception = "".join(f"\n    {printable(text)}" for text in str(entry.get("exception") or "").splitlines())
    return "  ".join([line, *own]) + exception
