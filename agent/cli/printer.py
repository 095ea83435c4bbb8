"""`fabunit printer`: look at the printer and command it while nothing prints."""

from __future__ import annotations

import re
from typing import Any

import click

from agent.cli.session import Session, daemon_command
from agent.cli.wording import celsius, facts, heater_name, printable
from agent.control.client import PRINTER_TIMEOUT_S
from agent.domain.errors import PortError, UsageError

_HEATERS = {"nozzle": "T0", "hotend": "T0", "bed": "B", "chamber": "C"}
_HEATER = re.compile(r"T[0-9]|[BC]")


class _Celsius(click.FloatRange):
    name = "temperature in °C"


class _Grams(click.FloatRange):
    name = "weight in grams"


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
    """Open the port (default: the configured one) and wait for the printer's answer."""
    document = _ask(session, "connect", {"port": port} if port else {})
    _must_be_there(document)
    still = (
        ": still looking for the printer, see `fabunit status`" if document["state"] == "connecting" else ""
    )
    session.show(document, f"printer {document['state']}{still}")


@printer.command("test-stop")
@daemon_command
def test_stop(session: Session) -> None:
    """Find out whether a stop gets past a busy printer.

    Connects anew; takes some seconds. Nothing moves and nothing heats: the printer is made to wait, and told to go on.
    A heated printer is not tested.
    """
    document = _ask(session, "test-stop", {})
    _must_be_there(document)
    learned = document["learned"] or {}
    session.show(document, f"emergency stop: {_stop_path(learned) or 'not tested'}")


def _must_be_there(document: dict[str, Any]) -> None:
    state, detail = document["state"], document.get("detail", "")
    if state in ("offline", "halted"):
        raise PortError(
            detail or f"the printer is {state}",
            code="not_connected",
            remedy="`fabunit ports` lists the ports"
            if state == "offline"
            else "switch the printer off and on, or press its reset button, then try again",
        )


@printer.command()
@daemon_command
def disconnect(session: Session) -> None:
    """Close the port and leave it to others."""
    document = _ask(session, "disconnect", {})
    session.show(document, "port closed")


@printer.command()
@click.argument("axes", required=False, default="")
@daemon_command
def home(session: Session, axes: str) -> None:
    """Home AXES, such as X or XY (default: all)."""
    wanted = axes.upper()
    if set(wanted) - set("XYZ"):
        raise UsageError(f"{axes!r} names no axes", remedy="use some of X, Y and Z")
    named = "".join(axis for axis in "XYZ" if axis in wanted)
    document = _ask(session, "home", {"axes": named})
    session.show(document, f"{' '.join(named) or 'all axes'} homed")


@printer.command()
@click.argument("heater")
@click.argument("celsius", type=_Celsius(0, 1000))
@daemon_command
def heat(session: Session, heater: str, celsius: float) -> None:
    """Set HEATER (nozzle, bed, chamber, T0, T1 ...) to CELSIUS degrees; 0 turns it off."""
    key = _HEATERS.get(heater.lower(), heater.upper())
    if not _HEATER.fullmatch(key):
        raise UsageError(f"{heater!r} names no heater", remedy="use nozzle, bed, chamber, or T0 to T9")
    document = _ask(session, "heat", {"heater": key, "celsius": celsius})
    session.show(
        document, f"{heater_name(key)} set to {celsius:g} °C" if celsius else f"{heater_name(key)} off"
    )


@printer.command()
@daemon_command
def cool(session: Session) -> None:
    """Turn all heaters off."""
    document = _ask(session, "cool", {})
    session.show(document, "all heaters off")


@printer.command()
@daemon_command
def spools(session: Session) -> None:
    """Show what is loaded and how much of it is left, as far as the unit knows."""
    document = session.client().get("/v1/spools")
    session.show(document, lambda: _spools(document["spools"]))


@printer.command()
@click.argument("slot")
@click.argument("grams", type=_Grams(0, 100_000))
@daemon_command
def refill(session: Session, slot: str, grams: float) -> None:
    """Say that there are now GRAMS of filament in SLOT (T0, ...): a new spool, or one that was weighed."""
    document = session.client().post("/v1/spools", {"slot": slot, "left_g": grams})
    session.show(document, lambda: _spools([document]))


def _spools(spools: list[dict[str, Any]]) -> str:
    if not spools:
        return "nothing is said to be loaded: `materials` in [coordinator] names it"
    rows = []
    for spool in spools:
        what = " ".join(part for part in (spool["material"], spool["color"], spool["brand"]) if part)
        left = "nobody has said how much" if spool["left_g"] is None else f"{spool['left_g']:.0f} g left"
        rows.append((printable(spool["slot"]), f"{printable(what)}, {left}"))
    return facts(rows)


def _ask(session: Session, action: str, body: dict[str, Any]) -> dict[str, Any]:
    return session.client().post(f"/v1/printer/{action}", body, timeout_s=PRINTER_TIMEOUT_S)


def _info(document: dict[str, Any]) -> str:
    firmware = document["firmware"] or {}
    health = document["health"]
    learned = document.get("learned") or {}
    speed = f" at {document['baud']} baud" if document["baud"] else ""
    port = document["port"] + speed
    rows = [
        ("state", ": ".join(part for part in (document["state"], printable(document["detail"])) if part)),
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
            f"{health['lines_acked']} sent, {health['resends']} resends, {health['timeouts']} timeouts"
            if health["lines_sent"]
            else "",
        ),
        (
            "answer",
            f"median {health['ok_p50_ms']:.1f} ms, 99 % within {health['ok_p99_ms']:.1f} ms"
            if health["ok_p50_ms"]
            else "",
        ),
        ("window", _window(learned)),
        ("stop", _stop_path(learned)),
        (
            "capabilities",
            ", ".join(sorted(name for name, on in firmware.get("capabilities", {}).items() if on)),
        ),
    ]
    return facts(rows)


def _window(learned: dict[str, Any]) -> str:
    if not learned:
        return ""
    size, slots = learned["window"], learned["slots"]
    why = f"; the firmware has {slots} command slots" if slots else ""
    lost = f"; {learned['losses']} lines lost in a wider one" if learned["losses"] else ""
    return f"{size['lines']} lines, {size['bytes']} bytes{why}{lost}"


def _stop_path(learned: dict[str, Any]) -> str:
    if not learned:
        return ""
    stop = learned["stop"]
    match stop["parser"]:
        case "proven":
            return f"acts at once, proven in {stop['latency_ms']:.0f} ms"
        case "absent":
            return "waits for a running heat-up or homing: no working emergency parser"
    return "not testable with this firmware" if stop["tested"] else "not tested: `fabunit printer test-stop`"
