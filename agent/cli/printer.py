"""`fabunit printer`: look at the printer and command it while nothing prints."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.session import Session, daemon_command
from agent.cli.wording import celsius, facts, heater_name, printable
from agent.control.client import PRINTER_TIMEOUT_S
from agent.domain.errors import UsageError

_HEATERS = {"nozzle": "T0", "hotend": "T0", "bed": "B", "chamber": "C"}


@click.group()
def printer() -> None:
    """Look at the printer and command it while nothing prints."""


@printer.command()
@daemon_command
def info(session: Session) -> None:
    """Show port, firmware, temperatures, position, line quality."""
    document = session.client().get("/v1/printer")
    session.show(document, lambda: _info(document))


@printer.command()
@click.argument("port", required=False)
@daemon_command
def connect(session: Session, port: str | None) -> None:
    """Open the port (default: the configured one)."""
    _act(session, "connect", {"port": port} if port else {})


@printer.command()
@daemon_command
def disconnect(session: Session) -> None:
    """Close the port and leave it to others."""
    _act(session, "disconnect", {})


@printer.command()
@click.argument("axes", required=False, default="")
@daemon_command
def home(session: Session, axes: str) -> None:
    """Home AXES, such as X or XY (default: all)."""
    wanted = axes.upper()
    if set(wanted) - set("XYZ"):
        raise UsageError(f"{axes!r} names no axes", remedy="use some of X, Y and Z")
    _act(session, "home", {"axes": "".join(axis for axis in "XYZ" if axis in wanted)})


@printer.command()
@click.argument("heater")
@click.argument("celsius", type=click.FloatRange(0, 1000))
@daemon_command
def heat(session: Session, heater: str, celsius: float) -> None:
    """Set HEATER (nozzle, bed, chamber, T0, T1 ...) to CELSIUS degrees; 0 turns it off."""
    _act(session, "heat", {"heater": _HEATERS.get(heater.lower(), heater.upper()), "celsius": celsius})


@printer.command()
@daemon_command
def cool(session: Session) -> None:
    """Turn all heaters off."""
    _act(session, "cool", {})


def _act(session: Session, action: str, body: dict[str, Any]) -> None:
    document = session.client().post(f"/v1/printer/{action}", body, timeout_s=PRINTER_TIMEOUT_S)
    detail = document.get("detail")
    session.show(document, f"printer {document['state']}" + (f": {printable(detail)}" if detail else ""))


def _info(document: dict[str, Any]) -> str:
    firmware = document["firmware"] or {}
    health = document["health"]
    port = f"{document['port']} at {document['baud']} baud" if document["port"] else ""
    rows = [
        ("state", " ".join(part for part in (document["state"], printable(document["detail"])) if part)),
        ("port", printable(port)),
        ("identity", printable(document["port_id"])),
        ("dialect", document["dialect"]),
        ("firmware", printable(firmware.get("name", ""))),
        ("machine", printable(firmware.get("machine", ""))),
        ("uuid", printable(firmware.get("uuid", ""))),
    ]
    for heater, values in document["temperatures"].items():
        rows.append((heater_name(heater), f"{celsius(values['actual'])} of {celsius(values['target'])} °C"))
    position = "  ".join(f"{axis} {value:.2f}" for axis, value in document["position"].items())
    rows += [
        ("position", position),
        ("fan", "" if document["fan"] is None else f"{document['fan'] * 100:.0f} %"),
        ("message", printable(document["message"])),
        (
            "lines",
            f"{health['lines_acked']} sent, {health['resends']} resends, {health['timeouts']} timeouts",
        ),
        ("answer", f"median {health['ok_p50_ms']:.1f} ms, 99 % within {health['ok_p99_ms']:.1f} ms"),
        (
            "capabilities",
            ", ".join(sorted(name for name, on in firmware.get("capabilities", {}).items() if on)),
        ),
    ]
    return facts(rows)
