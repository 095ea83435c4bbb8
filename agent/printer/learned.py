"""What was learned about one printer, as it is kept over restarts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.domain.printer import FirmwareInfo
from agent.printer.dialects import Dialect
from agent.printer.evidence import Evidence
from agent.printer.handshake import Answered
from agent.printer.stop_path import CAPABILITY, UNTESTED, EmergencyParser, StopPath, untested

VERSION = 1
BAUDS = range(2400, 4_000_001)
"""Rates of printers; a record with another one is damaged, and would keep its port from being opened."""


@dataclass(frozen=True, slots=True)
class LearnedPrinter:
    """One printer behind one port, found as `spec` was asked for. `slots`, `usb`, `losses`: see `Evidence`."""

    port_id: str
    spec: str
    baud: int
    dialect: str
    firmware: FirmwareInfo | None = None
    slots: int | None = None
    usb: tuple[int, int] | None = None
    stop: StopPath = UNTESTED
    losses: int = 0

    def evidence(self, dialect: Dialect) -> Evidence:
        """What of this bears on the window."""
        return Evidence(dialect, self.slots, self.usb, self.stop.parser, self.losses)

    def to_json(self) -> dict[str, Any]:
        """Write as JSON values."""
        firmware = self.firmware
        return {
            "v": VERSION,
            "port_id": self.port_id,
            "spec": self.spec,
            "baud": self.baud,
            "dialect": self.dialect,
            "firmware": None
            if firmware is None
            else {
                "name": firmware.name,
                "machine": firmware.machine,
                "uuid": firmware.uuid,
                "fields": dict(firmware.fields),
                "capabilities": dict(firmware.capabilities),
            },
            "slots": self.slots,
            "usb": None if self.usb is None else list(self.usb),
            "stop": self.stop.to_json(),
            "losses": self.losses,
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> LearnedPrinter | None:
        """Read what `to_json` wrote; None for anything else, such as a record of another version."""
        if document.get("v") != VERSION:
            return None
        try:
            usb = document["usb"]
            learned = LearnedPrinter(
                port_id=str(document["port_id"]),
                spec=str(document["spec"]),
                baud=int(document["baud"]),
                dialect=str(document["dialect"]),
                firmware=_firmware(document["firmware"]),
                slots=None if document["slots"] is None else int(document["slots"]),
                usb=None if usb is None else (int(usb[0]), int(usb[1])),
                stop=StopPath.from_json(document["stop"]),
                losses=int(document["losses"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            return None
        return learned if learned.baud in BAUDS and learned.losses >= 0 else None


def learn(before: LearnedPrinter | None, found: LearnedPrinter, answer: Answered) -> LearnedPrinter:
    """Fold a handshake into what was known of a port; `found` is what this connection shows by itself.

    Another firmware, or another build of it, is another printer: nothing that was learned of the one before holds.
    A printer too busy to say its name is taken for the same one.
    """
    new = replace(found, dialect=answer.dialect.name, firmware=answer.firmware, stop=untested(answer))
    if before is None or not _is_same(before, answer):
        return new
    stop = before.stop
    if new.stop.parser is EmergencyParser.ABSENT:
        stop = new.stop
    known = max((slots for slots in (before.slots, new.slots) if slots is not None), default=None)
    return replace(
        new,
        firmware=answer.firmware or before.firmware,
        slots=known,  # a queue that is not empty shows fewer slots, never more
        stop=stop,
        losses=before.losses,
    )


def _is_same(before: LearnedPrinter, answer: Answered) -> bool:
    if answer.firmware is None:
        return before.dialect == answer.dialect.name
    return before.firmware is not None and _key(before.firmware) == _key(answer.firmware)


def _key(firmware: FirmwareInfo) -> tuple[str, str, str, bool | None]:
    """Names carry the build's date, but not those of every vendor: the parser may have come with a new build."""
    parser = firmware.capabilities.get(CAPABILITY)
    return firmware.name, firmware.machine, firmware.uuid, parser


def _firmware(document: Mapping[str, Any] | None) -> FirmwareInfo | None:
    if document is None:
        return None
    return FirmwareInfo(
        name=str(document["name"]),
        machine=str(document["machine"]),
        uuid=str(document["uuid"]),
        fields={str(k): str(v) for k, v in document["fields"].items()},
        capabilities={str(k): bool(v) for k, v in document["capabilities"].items()},
    )
