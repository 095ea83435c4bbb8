"""`fabunit ports`: which serial ports this machine has."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from agent.cli.session import Session, local_command
from agent.cli.wording import printable, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.printer.discovery import PortInfo


@click.command()
@local_command
def ports(session: Session) -> None:
    """List serial ports and what is behind them, likely printers first; needs no daemon."""
    from agent.printer.discovery import list_ports

    found = list_ports()
    document = {"ports": [asdict(port) for port in found]}
    session.show(document, lambda: _table(found) or "no serial port found: is the printer's USB cable in?")


def _table(found: Sequence[PortInfo]) -> str:
    rows = [
        (port.device, printable(port.identity), _usb(port), printable(port.description)) for port in found
    ]
    return table(("DEVICE", "LASTING NAME", "USB", "DESCRIPTION"), rows) if rows else ""


def _usb(port: PortInfo) -> str:
    return "" if port.vid is None or port.pid is None else f"{port.vid:04x}:{port.pid:04x}"
