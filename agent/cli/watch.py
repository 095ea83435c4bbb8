"""The live view: a stream of status documents, drawn in place or written as lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from agent.cli.summary import one_line
from agent.domain.errors import NoDaemonError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.control.client import ControlClient, Document

# A daemon that restarts is back within seconds (DESIGN 5: 1.5 s); asking more often helps nobody.
RETRY_S = 1.0


def watch_plain(client: ControlClient, interval_s: float) -> None:
    """Write one line per document until interrupted or the daemon goes (NoDaemonError)."""
    for document in client.watch_status(interval_s):
        click.echo(one_line(document))


def watch_live(client: ControlClient, interval_s: float) -> None:
    """Draw every document in place until interrupted; a daemon that goes away is waited for."""
    from rich.console import Console
    from rich.live import Live

    from agent.cli.view import render, render_absence

    console = Console(highlight=False, markup=False, emoji=False)
    # The first document outside: no daemon at all is an error like everywhere else, not an empty screen.
    first = client.get("/v1/status")
    with Live(render(first), console=console, auto_refresh=False, screen=True) as live:
        for document in _lasting(client, interval_s):
            shown = render_absence() if document is None else render(document)
            live.update(shown, refresh=True)


def _lasting(client: ControlClient, interval_s: float) -> Iterator[Document | None]:
    """Yield documents, and None while there is no daemon."""
    while True:
        try:
            yield from client.watch_status(interval_s)
        except NoDaemonError:
            yield None
        time.sleep(RETRY_S)
