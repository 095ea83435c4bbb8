"""The known firmwares and how one is recognised."""

from __future__ import annotations

import re

from agent.domain.printer import FirmwareInfo
from agent.printer.dialects.base import (
    M409_COMMAND,
    PROBE_COMMAND,
    BadLine,
    Counter,
    Dialect,
    Duplicate,
    OkOn,
    WaitMeans,
)
from agent.printer.dialects.cbd import CBD
from agent.printer.dialects.generic import GENERIC
from agent.printer.dialects.klipper import KLIPPER
from agent.printer.dialects.marlin_1 import MARLIN_1
from agent.printer.dialects.marlin_2 import MARLIN_2
from agent.printer.dialects.marlin_20 import MARLIN_20
from agent.printer.dialects.prusa_buddy import PRUSA_BUDDY
from agent.printer.dialects.prusa_mk3 import PRUSA_MK3
from agent.printer.dialects.repetier import REPETIER
from agent.printer.dialects.reprapfirmware import REPRAPFIRMWARE
from agent.printer.dialects.smoothieware import SMOOTHIEWARE

__all__ = [
    "DIALECTS",
    "GENERIC",
    "M409_COMMAND",
    "MARLIN_2",
    "PROBE_COMMAND",
    "BadLine",
    "Counter",
    "Dialect",
    "Duplicate",
    "OkOn",
    "WaitMeans",
    "by_name",
    "identify",
    "marlin_version",
]

DIALECTS: tuple[Dialect, ...] = (
    MARLIN_2,
    MARLIN_20,
    MARLIN_1,
    PRUSA_MK3,
    PRUSA_BUDDY,
    REPRAPFIRMWARE,
    REPETIER,
    SMOOTHIEWARE,
    KLIPPER,
    CBD,
    GENERIC,
)

# Parts of M115's FIRMWARE_NAME in lower case. Order matters: Prusa's and the clones' names mention Marlin.
_BY_FIRMWARE_NAME = (
    ("cbd make it", CBD),
    ("zwlf make it", CBD),
    ("prusa-firmware-buddy", PRUSA_BUDDY),
    ("prusa-firmware", PRUSA_MK3),
    ("reprapfirmware", REPRAPFIRMWARE),
    ("duet", REPRAPFIRMWARE),
    ("repetier", REPETIER),
    ("smoothieware", SMOOTHIEWARE),
    ("klipper", KLIPPER),
)
_BY_GREETING = (
    ("klipper state", KLIPPER),
    ("up and running", REPRAPFIRMWARE),
    ("smoothie", SMOOTHIEWARE),
)
_MARLIN_VERSION = re.compile(r"marlin\s+(?:bugfix-|v|ver\s*)?(\d+)\.(\d+)(?:\.(\d+|x))?")


def by_name(name: str) -> Dialect | None:
    """Return the dialect with this name, None when there is none."""
    return next((dialect for dialect in DIALECTS if dialect.name == name), None)


def identify(firmware: FirmwareInfo | None, greeting: str = "", *, answers_probe: bool = False) -> Dialect:
    """Recognise a firmware by M115's answer, else by its greeting, else by its manners.

    `answers_probe`: an impossible line number was refused with `Last Line: k`, as only Marlin's kin does.
    """
    name = firmware.name.lower() if firmware is not None else ""
    for part, dialect in _BY_FIRMWARE_NAME:
        if part in name:
            return dialect
    if "marlin" in name:
        return _marlin(name)
    lowered = greeting.lower()
    for part, dialect in _BY_GREETING:
        if part in lowered:
            return dialect
    if "marlin" in lowered:
        return _marlin(lowered)
    return MARLIN_2 if answers_probe else GENERIC


def marlin_version(firmware: FirmwareInfo | None) -> tuple[int, int, int] | None:
    """Return the version a Marlin names itself with (`bugfix-2.1.x` is 2.1.99), None where it cannot be read."""
    return _version(firmware.name.lower()) if firmware is not None else None


def _marlin(name: str) -> Dialect:
    """Sort a Marlin by its version; one without a readable version is taken for the newest (see there)."""
    version = _version(name)
    if version is None:
        return MARLIN_2
    if version[0] < 2:
        return MARLIN_1
    return MARLIN_20 if version < (2, 1, 2) else MARLIN_2


def _version(name: str) -> tuple[int, int, int] | None:
    match = _MARLIN_VERSION.search(name)
    if match is None:
        return None
    patch = 0 if match[3] is None else 99 if match[3] == "x" else int(match[3])
    return int(match[1]), int(match[2]), patch
