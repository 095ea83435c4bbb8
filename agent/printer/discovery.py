"""Which serial ports there are, which may be a printer, and what to call them so that the name lasts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serial.tools import list_ports as pyserial_ports

from agent.domain.errors import PortError

SERIAL_LINKS = Path("/dev/serial")
"""Where udev keeps `by-id` and `by-path`."""

# USB ids of boards and adapters found in printers: vendor, product (None: all of the vendor), rank.
# Rank 0: printer makers and printer firmwares. 1: Arduino-like boards. 2: adapters used for everything.
_KNOWN = (
    (0x2C99, None, 0),  # Prusa Research
    (0x27B1, None, 0),  # UltiMachine RAMBo, Einsy
    (0x1D50, 0x6015, 0),  # Smoothieboard
    (0x1D50, 0x6029, 0),  # Marlin's own USB device (LPC176x boards)
    (0x1D50, 0x60EC, 0),  # Duet
    (0x1D50, 0x60ED, 0),
    (0x1D50, 0x60EE, 0),
    (0x2341, None, 1),  # Arduino Mega 2560 and Due
    (0x2A03, None, 1),  # Arduino.org
    (0x0483, 0x5740, 1),  # STM32 virtual COM port: most 32-bit boards
    (0x16C0, None, 1),  # Teensyduino, Printrboard
    (0x03EB, None, 1),  # Atmel LUFA, SAM boards
    (0x1A86, None, 2),  # WCH CH340, CH9102
    (0x0403, None, 2),  # FTDI
    (0x10C4, 0xEA60, 2),  # Silicon Labs CP210x
    (0x067B, None, 2),  # Prolific PL2303
    (0x1D50, None, 3),
    (0x2E8A, None, 3),  # Raspberry Pi RP2040
)
_UNKNOWN_USB_RANK = 4
_NEVER = 9

# Never a printer that speaks G-code: modems (Huawei, Sierra, ZTE, Option, Telit, SIMCom, Quectel),
# GPS (u-blox), Z-Wave and Zigbee sticks (Sigma, dresden elektronik), Klipper's own binary protocol.
_EXCLUDED = frozenset(
    {
        (0x12D1, None),
        (0x1199, None),
        (0x19D2, None),
        (0x0AF0, None),
        (0x1BC7, None),
        (0x1E0E, None),
        (0x2C7C, None),
        (0x1546, None),
        (0x0658, None),
        (0x1CF1, None),
        (0x1D50, 0x614E),
    }
)
_EXCLUDED_WORDS = ("modem", "gps", "gnss", "zigbee", "z-wave", "bluetooth", "conbee", "lte", "klipper")


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A serial port of this machine. `identity` is its lasting name, `rank` how likely it is a printer."""

    device: str
    identity: str
    description: str = ""
    vid: int | None = None
    pid: int | None = None
    serial: str | None = None
    rank: int = _NEVER


class RawPort(Protocol):
    """What pyserial says about a port, as far as it is used here."""

    device: str
    description: str
    vid: int | None
    pid: int | None
    serial_number: str | None
    product: str | None
    manufacturer: str | None


def _comports() -> Iterable[RawPort]:
    return pyserial_ports.comports()


def list_ports(
    comports: Callable[[], Iterable[RawPort]] = _comports, links: Path = SERIAL_LINKS
) -> list[PortInfo]:
    """List the machine's serial ports, the likeliest printer first. Pseudo-terminals are not among them."""
    raws = list(comports())
    found = [_describe(raw, links) for raw in raws]
    return sorted(found, key=lambda port: (port.rank, port.identity))


def resolve(
    spec: str,
    remembered: str | None = None,
    comports: Callable[[], Iterable[RawPort]] = _comports,
    links: Path = SERIAL_LINKS,
) -> tuple[PortInfo, ...]:
    """Turn a configured port into candidates, best first.

    A path or URL is itself. A path that has gone is looked for under the `remembered` identity: USB names
    move when a device is plugged in again. `auto` gives every USB port that may be a printer, the remembered
    one first; pseudo-terminals and on-board UARTs must be named. Raises PortError port_missing when there is
    none.
    """
    if "://" in spec:
        return (PortInfo(spec, spec),)
    if spec == "auto":
        candidates = [port for port in list_ports(comports, links) if port.rank < _NEVER]
        candidates.sort(key=lambda port: port.identity != remembered)
        if not candidates:
            raise missing(spec, comports, links)
        return tuple(candidates)
    for path in (spec, remembered):
        if path and Path(path).exists():
            return (_named(path, comports, links),)
    raise missing(spec, comports, links)


def identity_of(
    device: str, comports: Callable[[], Iterable[RawPort]] = _comports, links: Path = SERIAL_LINKS
) -> str:
    """Return the lasting name of a device: by-id when that is unique, else by-path, else the path itself.

    by-id is only unique with a serial number in it: two CH340 share one link, and the last one wins.
    """
    return _named(device, comports, links).identity


def missing(
    spec: str, comports: Callable[[], Iterable[RawPort]] = _comports, links: Path = SERIAL_LINKS
) -> PortError:
    """Build the error for a port that is not there; it lists the ports that are."""
    there = ", ".join(port.identity for port in list_ports(comports, links))
    what = "no port looks like a printer" if spec == "auto" else f"there is no port {spec}"
    return PortError(
        f"{what}; ports on this machine: {there or 'none'}",
        code="port_missing",
        remedy="switch the printer on and check its USB cable; then name its port in [printer] port",
    )


def _named(device: str, comports: Callable[[], Iterable[RawPort]], links: Path) -> PortInfo:
    """Describe one device by any of its names; the device of the result is the name that was given."""
    real = os.path.realpath(device)
    for raw in comports():
        if os.path.realpath(raw.device) == real:
            port = _describe(raw, links)
            return PortInfo(
                device, port.identity, port.description, port.vid, port.pid, port.serial, port.rank
            )
    return PortInfo(device, _lasting_name(real, None, links) or device)


def _describe(raw: RawPort, links: Path) -> PortInfo:
    return PortInfo(
        device=raw.device,
        identity=_lasting_name(os.path.realpath(raw.device), raw.serial_number, links) or raw.device,
        description=raw.description,
        vid=raw.vid,
        pid=raw.pid,
        serial=raw.serial_number,
        rank=_rank(raw),
    )


def _lasting_name(real: str, serial_number: str | None, links: Path) -> str | None:
    by_path = _link_to(real, links / "by-path")
    if serial_number or by_path is None:
        return _link_to(real, links / "by-id") or by_path
    return by_path


def _link_to(real: str, folder: Path) -> str | None:
    try:
        names = sorted(folder.iterdir())
    except OSError:  # no udev, or no serial device at all
        return None
    # Debian 12 lists a USB port twice (`usb-` and `usbv2-`); the shorter name exists everywhere.
    hits = [str(name) for name in names if os.path.realpath(name) == real]
    return min(hits, key=lambda name: (len(name), name), default=None)


def _rank(raw: RawPort) -> int:
    if raw.vid is None:
        return _NEVER
    words = " ".join(filter(None, (raw.description, raw.product, raw.manufacturer))).lower()
    if (raw.vid, None) in _EXCLUDED or (raw.vid, raw.pid) in _EXCLUDED:
        return _NEVER
    if any(word in words for word in _EXCLUDED_WORDS):
        return _NEVER
    for vid, pid, rank in _KNOWN:
        if raw.vid == vid and pid in (None, raw.pid):
            return rank
    return _UNKNOWN_USB_RANK
