"""`fabunit simulate`: the virtual printer, with the options every command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.sim.cli import simulate as tool

_CONFIG = click.Option(
    ["--config"],
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Accepted, not read.",
)


def _run(**options: Any) -> None:
    """The printer itself needs no configuration: it is the other end of the cable."""
    del options["config"]
    if tool.callback is not None:
        tool.callback(**options)


simulate = click.Command("simulate", callback=_run, params=[*tool.params, _CONFIG], help=tool.help)
