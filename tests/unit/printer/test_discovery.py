"""Ports as a machine shows them: names that last, likely printers first."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.domain.errors import PortError
from agent.printer.discovery import identity_of, list_ports, missing, resolve


@dataclass
class Raw:
    """What pyserial tells about one port."""

    device: str
    description: str = "n/a"
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None
    product: str | None = None
    manufacturer: str | None = None


class Machine:
    """A /dev with USB ports, and udev's links to them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dev = root / "dev"
        self.links = self.dev / "serial"
        self.raws: list[Raw] = []
        self.dev.mkdir()

    def plug(self, name: str, raw: Raw, *, by_id: str | None = None, by_path: str | None = None) -> str:
        node = self.dev / name
        node.touch()
        raw.device = str(node)
        self.raws.append(raw)
        for folder, link in (("by-id", by_id), ("by-path", by_path)):
            if link is not None:
                (self.links / folder).mkdir(parents=True, exist_ok=True)
                place = self.links / folder / link
                place.unlink(missing_ok=True)
                place.symlink_to(os.path.relpath(node, place.parent))
        return str(node)

    def unplug(self, device: str) -> None:
        Path(device).unlink()
        self.raws = [raw for raw in self.raws if raw.device != device]

    def ports(self) -> list[Raw]:
        return self.raws

    def link(self, folder: str, name: str) -> str:
        return str(self.links / folder / name)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def ch340() -> Raw:
    return Raw("", "USB Serial", 0x1A86, 0x7523, None, "USB Serial")


def prusa() -> Raw:
    return Raw(
        "", "Original Prusa i3 MK3", 0x2C99, 0x0002, "CZPX1234", "Original Prusa i3 MK3", "Prusa Research"
    )


def mega() -> Raw:
    return Raw("", "Arduino Mega 2560", 0x2341, 0x0042, "7543331383", None, "Arduino (www.arduino.cc)")


def test_a_unique_serial_number_gives_the_by_id_name(machine: Machine) -> None:
    device = machine.plug(
        "ttyACM0", prusa(), by_id="usb-Prusa_CZPX1234-if00", by_path="platform-usb-0:1.1:1.0"
    )
    identity = identity_of(device, machine.ports, machine.links)
    assert identity == machine.link("by-id", "usb-Prusa_CZPX1234-if00")


def test_twins_without_serial_numbers_are_told_apart_by_their_sockets(machine: Machine) -> None:
    one = machine.plug("ttyUSB0", ch340(), by_id="usb-1a86_USB_Serial-if00-port0", by_path="usb-0:1.1")
    two = machine.plug("ttyUSB1", ch340(), by_id="usb-1a86_USB_Serial-if00-port0", by_path="usb-0:1.2")
    identities = [identity_of(device, machine.ports, machine.links) for device in (one, two)]
    assert identities == [machine.link("by-path", "usb-0:1.1"), machine.link("by-path", "usb-0:1.2")]


def test_without_by_path_a_poor_by_id_name_is_better_than_none(machine: Machine) -> None:
    device = machine.plug("ttyUSB0", ch340(), by_id="usb-1a86_USB_Serial-if00-port0")
    assert identity_of(device, machine.ports, machine.links) == machine.link(
        "by-id", "usb-1a86_USB_Serial-if00-port0"
    )


def test_with_a_serial_number_but_no_by_id_by_path_serves(machine: Machine) -> None:
    device = machine.plug("ttyACM0", prusa(), by_path="usb-0:1.1")
    assert identity_of(device, machine.ports, machine.links) == machine.link("by-path", "usb-0:1.1")


def test_without_udev_the_device_is_its_own_name(machine: Machine) -> None:
    device = machine.plug("ttyUSB0", ch340())
    assert identity_of(device, machine.ports, machine.links) == device
    assert identity_of("/dev/pts/77", machine.ports, machine.links) == "/dev/pts/77"


def test_of_two_names_for_one_socket_the_short_one_is_taken(machine: Machine) -> None:
    device = machine.plug("ttyUSB0", ch340(), by_path="pci-0000:00:14.0-usb-0:1:1.0-port0")
    extra = Path(machine.link("by-path", "pci-0000:00:14.0-usbv2-0:1:1.0-port0"))
    extra.symlink_to("../../ttyUSB0")
    assert identity_of(device, machine.ports, machine.links).endswith("usb-0:1:1.0-port0")


def test_any_name_of_a_device_has_the_same_identity(machine: Machine) -> None:
    device = machine.plug("ttyACM0", prusa(), by_id="usb-Prusa", by_path="usb-0:1.1")
    names = [device, machine.link("by-id", "usb-Prusa"), machine.link("by-path", "usb-0:1.1")]
    assert {identity_of(name, machine.ports, machine.links) for name in names} == {
        machine.link("by-id", "usb-Prusa")
    }


def test_auto_ranks_printers_first_and_leaves_out_what_is_none(machine: Machine) -> None:
    adapter = machine.plug("ttyUSB0", ch340())
    machine.plug("ttyUSB1", Raw("", "HUAWEI Mobile", 0x12D1, 0x1506))
    machine.plug(
        "ttyUSB2", Raw("", "CP2102N Zigbee Stick", 0x10C4, 0xEA60, "1", "Sonoff Zigbee 3.0 USB Dongle")
    )
    machine.plug("ttyACM2", Raw("", "u-blox 7 - GPS/GNSS Receiver", 0x1546, 0x01A7))
    machine.plug("ttyACM3", Raw("", "Klipper", 0x1D50, 0x614E))
    machine.plug("ttyAMA0", Raw("", "ttyAMA0"))
    arduino = machine.plug("ttyACM0", mega())
    unknown = machine.plug("ttyACM4", Raw("", "Thing", 0xDEAD, 0xBEEF))
    printer = machine.plug("ttyACM1", prusa())
    candidates = resolve("auto", None, machine.ports, machine.links)
    assert [port.device for port in candidates] == [printer, arduino, adapter, unknown]
    everything = list_ports(machine.ports, machine.links)
    assert len(everything) == 9
    assert everything[0].serial == "CZPX1234"
    assert (everything[0].vid, everything[0].pid) == (0x2C99, 2)


def test_auto_prefers_the_printer_of_last_time(machine: Machine) -> None:
    machine.plug("ttyACM1", prusa(), by_id="usb-Prusa")
    adapter = machine.plug("ttyUSB0", ch340(), by_path="usb-0:1.3")
    candidates = resolve("auto", machine.link("by-path", "usb-0:1.3"), machine.ports, machine.links)
    assert candidates[0].device == adapter
    assert len(candidates) == 2


def test_auto_without_any_candidate_says_what_is_there(machine: Machine) -> None:
    device = machine.plug("ttyAMA0", Raw("", "ttyAMA0"))
    with pytest.raises(PortError) as failure:
        resolve("auto", None, machine.ports, machine.links)
    assert failure.value.code == "port_missing"
    assert device in failure.value.message
    assert failure.value.remedy


def test_the_same_printer_is_found_after_its_node_moved(machine: Machine) -> None:
    device = machine.plug("ttyUSB0", ch340(), by_path="usb-0:1.1")
    identity = identity_of(device, machine.ports, machine.links)
    machine.unplug(device)
    with pytest.raises(PortError):
        resolve(device, identity, machine.ports, machine.links)
    moved = machine.plug("ttyUSB5", ch340(), by_path="usb-0:1.1")
    (found,) = resolve(device, identity, machine.ports, machine.links)
    assert os.path.realpath(found.device) == moved
    assert found.identity == identity


def test_a_missing_port_names_the_ports_that_are_there(machine: Machine) -> None:
    machine.plug("ttyACM0", prusa(), by_id="usb-Prusa")
    with pytest.raises(PortError) as failure:
        resolve("/dev/ttyUSB7", None, machine.ports, machine.links)
    assert failure.value.code == "port_missing"
    assert "/dev/ttyUSB7" in failure.value.message
    assert "usb-Prusa" in failure.value.message
    assert "none" in missing("x", list, machine.links).message


@pytest.mark.parametrize("url", ["socket://printer:23", "rfc2217://10.0.0.5:4000"])
def test_urls_are_themselves(machine: Machine, url: str) -> None:
    (port,) = resolve(url, None, machine.ports, machine.links)
    assert (port.device, port.identity) == (url, url)


@pytest.fixture
def pseudo_terminal() -> Iterator[str]:
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_a_pseudo_terminal_works_when_named(machine: Machine, pseudo_terminal: str, tmp_path: Path) -> None:
    link = tmp_path / "printer"
    link.symlink_to(pseudo_terminal)
    (by_link,) = resolve(str(link), None, machine.ports, machine.links)
    assert by_link.device == str(link)
    assert by_link.identity == str(link)
    (direct,) = resolve(pseudo_terminal, None, machine.ports, machine.links)
    assert direct.identity == pseudo_terminal


def test_this_machines_own_ports_can_be_listed() -> None:
    for port in list_ports():
        assert port.device.startswith("/dev/")
        assert not port.device.startswith("/dev/pts/")


def test_listing_asks_the_machine_every_time(machine: Machine) -> None:
    calls: list[int] = []

    def comports() -> list[Raw]:
        calls.append(1)
        return machine.raws

    listing: Callable[[], list[Raw]] = comports
    assert list_ports(listing, machine.links) == []
    machine.plug("ttyACM0", mega())
    assert len(list_ports(listing, machine.links)) == 1
    assert len(calls) == 2
