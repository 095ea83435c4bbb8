"""Units as the coordinator sees them: who is there, in which connection, and what they say of themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agent.coordinator.documents import LiveSample, Presence, UnitDocument
from agent.coordinator.standin.ledger import Connection
from agent.coordinator.standin.records import repeat_acks


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit. `presence` is online, offline, lost or unknown; `since_ms` is Unix time by the unit's clock."""

    unit: str
    presence: str
    epoch: str
    connect: int
    since_ms: int
    reason: str
    state: dict[str, Any] | None
    live: dict[str, Any] | None


def met(connection: Connection, unit: str, now_ms: int) -> None:
    """Remember that a unit exists."""
    connection.execute(
        "INSERT INTO units (unit, seen_ms) VALUES (?1, ?2) ON CONFLICT (unit) DO UPDATE SET seen_ms = ?2",
        (unit, now_ms),
    )


def take_presence(connection: Connection, presence: Presence) -> bool:
    """Take a birth, a farewell or a last will; returns whether it is a birth, whose unit waits to be greeted.

    A will can arrive after the birth of the next connection: its connect counter is lower, and it is ignored.
    """
    row = connection.execute("SELECT epoch, connect FROM units WHERE unit = ?", (presence.unit,)).fetchone()
    is_birth = presence.state == "online"
    is_same_life = row is not None and row["epoch"] == presence.epoch
    if is_same_life and presence.connect < row["connect"]:
        return False
    if row is not None and row["epoch"] and not is_same_life and not is_birth:
        return False
    connection.execute(
        "UPDATE units SET presence = ?, epoch = ?, connect = ?, since_ms = ?, reason = ? WHERE unit = ?",
        (presence.state, presence.epoch, presence.connect, presence.since, presence.reason, presence.unit),
    )
    if is_birth:
        connection.execute("UPDATE units SET want_sent = 0 WHERE unit = ?", (presence.unit,))
        repeat_acks(connection, presence.unit)
    return is_birth


def take_state(connection: Connection, document: UnitDocument) -> None:
    """Keep the newest description."""
    body = document.to_json().decode()
    connection.execute("UPDATE units SET state = ? WHERE unit = ?", (body, document.unit))


def take_live(connection: Connection, sample: LiveSample) -> None:
    """Keep the newest sample."""
    connection.execute("UPDATE units SET live = ? WHERE unit = ?", (sample.to_json().decode(), sample.unit))


def all_units(connection: Connection) -> list[Unit]:
    """List every unit that was ever heard of or ordered from."""
    return [_unit(row) for row in connection.execute("SELECT * FROM units ORDER BY unit")]


def get(connection: Connection, unit: str) -> Unit | None:
    """Return one unit."""
    row = connection.execute("SELECT * FROM units WHERE unit = ?", (unit,)).fetchone()
    return None if row is None else _unit(row)


def _unit(row: Any) -> Unit:
    return Unit(
        unit=row["unit"],
        presence=row["presence"],
        epoch=row["epoch"],
        connect=row["connect"],
        since_ms=row["since_ms"],
        reason=row["reason"],
        state=json.loads(row["state"]) if row["state"] else None,
        live=json.loads(row["live"]) if row["live"] else None,
    )
