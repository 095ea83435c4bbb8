"""`fabunit status`: everything at a glance, once or live."""

from __future__ import annotations

import json
import sys

import click

from agent.cli.session import Session, daemon_command
from agent.cli.summary import summary


@click.command()
@click.option(
    "-w", "--watch", is_flag=True, help="Live view until interrupted; lines of text when not on a terminal."
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 60),
    metavar="SECONDS",
    help="Between two updates of --watch. Default: 0.5 on a terminal, else 5.",
)
@daemon_command
def status(session: Session, watch: bool, interval: float | None) -> None:
    """Show state, temperatures, progress, queue, link, bed. --watch --json: one document per line."""
    if not watch:
        document = session.client().get("/v1/status")
        session.show(document, lambda: summary(document))
        return
    is_live = sys.stdout.isatty()
    if session.as_json:
        for document in session.client().stream("/v1/status/stream", interval=interval or 0.5):
            click.echo(json.dumps(document))
    elif is_live:
        from agent.cli.watch import watch_live

        watch_live(session.client(), interval or 0.5)
    else:
        from agent.cli.watch import watch_plain

        watch_plain(session.client(), interval or 5.0)
