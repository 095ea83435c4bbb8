"""One invocation: where the daemon is, and whether a person or a program reads the answer."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.control.client import ControlClient

P = ParamSpec("P")

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, errors too.")
_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), metavar="PATH", help="Configuration file."
)
_SOCKET = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The daemon's control socket. Default: $FABUNIT_SOCKET, else the system's or your own.",
)


class WholeNumber(click.IntRange):
    """A whole number within bounds, called that in errors."""

    name = "whole number"


@dataclass(frozen=True, slots=True)
class Session:
    """What the common options said."""

    as_json: bool
    config: Path | None
    socket_path: Path | None

    def client(self) -> ControlClient:
        """Build the client for the daemon's socket."""
        from agent.control.client import ControlClient

        return ControlClient(self.socket())

    def socket(self) -> Path:
        """Return the named socket, else the default one, else that of the only unit that runs as a service.

        Raises UsageError when several units run and none is named.
        """
        from agent.domain.errors import UsageError
        from agent.paths import default_socket, running_sockets

        named = self.socket_path or default_socket()
        is_plain = self.socket_path or os.path.lexists(named) or "FABUNIT_SOCKET" in os.environ
        units = () if is_plain else running_sockets()
        if len(units) > 1:
            names = ", ".join(unit.parent.name for unit in units)
            raise UsageError(
                f"several units run here: {names}",
                code="which_unit",
                remedy=f"name one with --socket or $FABUNIT_SOCKET, for example {units[0]}",
            )
        return units[0] if units else named

    def show(self, document: Mapping[str, Any], text: str | Callable[[], str]) -> None:
        """Write the answer: the document for a program, the text for a person."""
        if self.as_json:
            click.echo(json.dumps(document, indent=2))
            return
        written = text if isinstance(text, str) else text()
        if written:
            click.echo(written)


def daemon_command(
    function: Callable[Concatenate[Session, P], int | None],
) -> Callable[P, int | None]:
    """Give a command `--json`, `--config` and `--socket`; it gets a Session first."""
    return _SOCKET(_with_session(function))


def local_command(
    function: Callable[Concatenate[Session, P], int | None],
) -> Callable[P, int | None]:
    """Give a command that needs no daemon `--json` and `--config`; it gets a Session first."""
    return _with_session(function)


def _with_session(function: Callable[Concatenate[Session, P], int | None]) -> Callable[P, int | None]:
    @functools.wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> int | None:
        session = Session(
            as_json=bool(options.pop("as_json")),
            config=_path(options.pop("config")),
            socket_path=_path(options.pop("socket_path", None)),
        )
        return function(session, *args, **options)

    return _JSON(_CONFIG(run))


def _path(value: object) -> Path | None:
    return value if isinstance(value, Path) else None
