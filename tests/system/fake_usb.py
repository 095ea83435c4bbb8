"""Adapters with a serial port as they look in /sys, made of plain files: for `udevadm test`, where no USB can be.

systemd's own tests of udev work like this; `SYSTEMD_DEVICE_VERIFY_SYSFS=0` has it take such a tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HUB = "/devices/pci0000:00/0000:00:14.0/usb1"


@dataclass(frozen=True, slots=True)
class FakeAdapter:
    """One adapter; `driver` ftdi_sio and ch341 make a ttyUSB below a usb-serial device, cdc_acm makes a ttyACM."""

    name: str
    vendor: str
    product: str
    serial: str
    driver: str
    link: str
    """What udev must name the port, below /dev."""

    @property
    def usb_path(self) -> str:
        """The USB device."""
        return f"{_HUB}/1-1"

    @property
    def serial_path(self) -> str:
        """The usb-serial device, "" where the driver has none."""
        return "" if self.driver == "cdc_acm" else f"{self.usb_path}/1-1:1.0/ttyUSB0"

    @property
    def tty_path(self) -> str:
        """The port."""
        return f"{self.serial_path or f'{self.usb_path}/1-1:1.0'}/tty/{self.tty}"

    @property
    def tty(self) -> str:
        """The port's name."""
        return "ttyACM0" if self.driver == "cdc_acm" else "ttyUSB0"


FTDI = FakeAdapter("FTDI", "0403", "6001", "A50285BI", "ftdi_sio", "fabunit/0403-6001-A50285BI")
PRUSA = FakeAdapter("Prusa MK3", "2c99", "0002", "CZPX1234", "cdc_acm", "fabunit/2c99-0002-CZPX1234")
NAMELESS_CH340 = FakeAdapter("CH340", "1a86", "7523", "", "ch341", "fabunit/pci-0000:00:14.0-usb-0:1:1.0")
STRANGER = FakeAdapter("another device", "046d", "c31c", "X1", "cdc_acm", "")


def lay_out(adapter: FakeAdapter, root: Path) -> None:
    """Write the tree that the kernel would show for this one adapter below `root`."""
    pci = root / "devices/pci0000:00/0000:00:14.0"
    _device(root, pci, "bus/pci", "PCI_SLOT_NAME=0000:00:14.0\n")
    _device(
        root, root / _HUB[1:], "bus/usb", "DEVTYPE=usb_device\n", {"idVendor": "1d6b", "idProduct": "0002"}
    )
    usb = root / adapter.usb_path[1:]
    attributes = {
        "idVendor": adapter.vendor,
        "idProduct": adapter.product,
        "power/control": "auto",
        "bDeviceClass": "00",
        "bcdDevice": "0600",
        "manufacturer": "Maker",
        "product": adapter.name,
    }
    if adapter.serial:
        attributes["serial"] = adapter.serial
    numbers = "MAJOR=189\nMINOR=1\nDEVNAME=bus/usb/001/002\nDEVTYPE=usb_device\nBUSNUM=001\nDEVNUM=002\n"
    _device(root, usb, "bus/usb", numbers, attributes)
    interface = usb / "1-1:1.0"
    inner = {
        "bInterfaceClass": "ff",
        "bInterfaceSubClass": "ff",
        "bInterfaceProtocol": "ff",
        "bInterfaceNumber": "00",
    }
    _device(root, interface, "bus/usb", "DEVTYPE=usb_interface\n", inner)
    _link(root, interface / "driver", f"bus/usb/drivers/{adapter.driver}")
    if adapter.serial_path:
        serial = root / adapter.serial_path[1:]
        timer = {"latency_timer": "16"} if adapter.driver == "ftdi_sio" else {}
        _device(root, serial, "bus/usb-serial", "", timer)
        _link(root, serial / "driver", f"bus/usb-serial/drivers/{adapter.driver}")
    port = root / adapter.tty_path[1:]
    number = 166 if adapter.driver == "cdc_acm" else 188
    _device(root, port, "class/tty", f"MAJOR={number}\nMINOR=0\nDEVNAME={adapter.tty}\n")
    _link(root, port / "device", str(port.parent.parent.relative_to(root)))


def _device(
    root: Path, path: Path, subsystem: str, uevent: str, attributes: dict[str, str] | None = None
) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "uevent").write_text(uevent)
    _link(root, path / "subsystem", subsystem)
    for name, value in (attributes or {}).items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(f"{value}\n")


def _link(root: Path, link: Path, target: str) -> None:
    (root / target).mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path(*[".."] * len(link.parent.relative_to(root).parts)) / target)
