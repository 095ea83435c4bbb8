"""`fabunit console`: G-code to the printer, under the daemon's safety rules."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from agent.cli.session import Session, daemon_command
from agent.cli.wording import clock_s, printable
from agent.control.client import PRINTER_TIMEOUT_S
from agent.domain.errors import FabunitError, NoDaemonError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.control.client import ControlClient

_PROMPT = "> "
_ARROW = {"sent": ">", "received": "<", "note": "#"}
_COLOUR = {"sent": "cyan", "received": None, "note": "yellow"}
# What was said shortly before gives the first screen a context.
_TAIL = 20


@click.command()
@click.argument("lines", nargs=-1, metavar="[LINE]...")
@daemon_command
def console(session: Session, lines: tuple[str, ...]) -> int | None:
    """Send each LINE of G-code and show the replies, or talk with the printer when no LINE is given.

    Without a terminal on stdin, lines are read from there. Stops at the first line that is refused.
    """
    client = session.client()
    if lines:
        return _send_all(session, client, lines)
    if sys.stdin.isatty() and not session.as_json:
        _talk(client)
        return None
    return _send_all(session, client, (line.strip() for line in sys.stdin))


def _send_all(session: Session, client: ControlClient, lines: Iterable[str]) -> int | None:
    """Send line by line. As JSON, a refused line ends the document as `error` behind what was answered before it."""
    sent: list[dict[str, Any]] = []
    for line in lines:
        if not line or line.startswith(";"):
            continue
        try:
            document = client.post("/v1/console", {"line": line}, timeout_s=PRINTER_TIMEOUT_S)
        except FabunitError as error:
            if not (session.as_json and sent):
                raise
            session.show({"commands": sent, "error": error.to_dict()}, "")
            return error.exit_code
        sent.append(document)
        if not session.as_json:
            for reply in document["replies"]:
                click.echo(printable(reply))
    session.show({"commands": sent}, "")
    return None


def _talk(client: ControlClient) -> None:
    """Read lines from the keyboard while the conversation scrolls above them."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history and editing keys
    for entry in client.get("/v1/console/tail", n=_TAIL)["entries"]:
        click.echo(_entry(entry))
    click.echo(click.style("G-code goes to the printer, Ctrl-D ends. M112 here is `fabunit stop`.", dim=True))
    listener = threading.Thread(target=_listen, args=(client,), name="console-view", daemon=True)
    listener.start()
    while True:
        try:
            line = input(_PROMPT).strip()
        except EOFError:
            click.echo()
            return
        if line:
            _say(client, line)


def _say(client: ControlClient, line: str) -> None:
    """Send one line; the replies arrive with the conversation. A refusal is shown, not fatal."""
    try:
        if line.upper() == "M112":
            client.post("/v1/stop")
        else:
            client.post("/v1/console", {"line": line}, timeout_s=PRINTER_TIMEOUT_S)
    except NoDaemonError:
        raise
    except FabunitError as error:
        hint = f" ({error.remedy})" if error.remedy else ""
        click.echo(click.style(f"! {error.message}{hint}", fg="red"))


def _listen(client: ControlClient) -> None:
    """Write the conversation above the line being typed, until the daemon goes."""
    try:
        for entry in client.stream("/v1/console/stream"):
            _write_above(_entry(entry))
    except FabunitError as error:
        _write_above(click.style(f"! {error.message}", fg="red"))


def _write_above(text: str) -> None:
    typed = ""
    if "readline" in sys.modules:
        typed = sys.modules["readline"].get_line_buffer()
    sys.stdout.write(f"\r\x1b[K{text}\n{_PROMPT}{typed}")
    sys.stdout.flush()


def _entry(entry: dict[str, Any]) -> str:
    direction = str(entry["direction"])
    text = f"{_ARROW.get(direction, '?')} {printable(entry['text'])}"
    return f"{click.style(clock_s(entry['t_ms']), dim=True)} {click.style(text, fg=_COLOUR.get(direction))}"
