"""Doctor's checks of the printer's side: its port, who else grabs it, what the daemon says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import NoDaemonError, RefusedError
from agent.ops.doctor import daemon, port
from agent.ops.doctor.finding import Level
from agent.printer.port.holders import Holder
from tests.unit.doctor.complaints import bad, expect_one

PORT = port.PortFacts("/dev/serial/by-id/usb-x", "/dev/ttyUSB0", "/dev/serial/by-id/usb-x", found=("a",))


def test_port_is_fine() -> None:
    assert not bad(port.judge(PORT))
    assert not bad(port.judge(replace(PORT, spec="auto", latency_ms=1)))
    assert not bad(port.judge(port.PortFacts("socket://h:1", "socket://h:1", is_network=True)))


@pytest.mark.parametrize(
    ("facts", "check", "level", "remedy"),
    [
        (port.PortFacts("auto", missing="there is no port"), "port", Level.ERROR, "fabunit ports"),
        (replace(PORT, holders=(Holder(77, "octoprint"),)), "port-busy", Level.ERROR, "sudo kill 77"),
        (replace(PORT, spec="/dev/ttyUSB0"), "port-name", Level.WARNING, 'port = "/dev/serial/by-id/usb-x"'),
        (replace(PORT, spec="auto", found=("a", "b")), "port-name", Level.WARNING, "set port ="),
        (
            replace(PORT, latency_ms=16),
            "latency-timer",
            Level.WARNING,
            "/sys/class/tty/ttyUSB0/device/latency_timer",
        ),
        (replace(PORT, is_suspending=True), "usb-suspend", Level.WARNING, "power/control"),
    ],
)
def test_port(facts: port.PortFacts, check: str, level: Level, remedy: str) -> None:
    expect_one(port.judge(facts), check, level, remedy)


def test_a_port_held_by_another_program_is_seen(tmp_path: Path) -> None:
    device = tmp_path / "dev" / "ttyX"
    device.parent.mkdir()
    device.touch()
    descriptors = tmp_path / "proc" / "4321" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "5").symlink_to(device)
    (descriptors.parent / "comm").write_text("cura\n")
    tty = tmp_path / "sys" / "class" / "tty" / "ttyX" / "device"
    tty.mkdir(parents=True)
    (tty / "latency_timer").write_text("16\n")
    (tty / "idVendor").write_text("0403\n")
    (tty / "power").mkdir()
    (tty / "power" / "control").write_text("auto\n")
    facts = port.look_device(str(device), str(device), "ttyX", None, tmp_path)
    assert facts.holders == (Holder(4321, "cura"),)
    assert facts.latency_ms == 16
    assert facts.is_suspending
    assert not facts.is_ours
    held = port.look_device(str(device), str(device), "ttyX", 4321, tmp_path)
    assert held.holders == ()
    assert held.is_ours


@pytest.mark.parametrize(
    ("active", "ignored", "checks"),
    [
        ({"ModemManager.service"}, False, {"modem-manager"}),
        ({"ModemManager.service"}, True, set()),
        ({"brltty.service"}, False, {"brltty"}),
        ({"brltty-udev.service", "ModemManager.service"}, False, {"brltty", "modem-manager"}),
        (set(), False, set()),
    ],
)
def test_programs_that_grab_ports(active: set[str], ignored: bool, checks: set[str]) -> None:
    def run(command: Any) -> str | None:
        if command[0] == "udevadm":
            return "ID_MM_DEVICE_IGNORE=1" if ignored else "ID_VENDOR=x"
        return "active" if command[-1] in active else "inactive"

    found = bad(port.judge_thieves(port.look_for_thieves("/dev/ttyUSB0", run)))
    assert set(found) == checks
    assert all(finding.remedy.startswith("sudo systemctl") for finding in found.values())


def status(**printer: Any) -> dict[str, Any]:
    return {
        "unit": {"pid": 7, "version": "0.1.0"},
        "printer": {
            "state": "idle",
            "detail": "",
            "dialect": "marlin",
            "baud": 115200,
            "firmware": {"name": "Marlin 2.1"},
            "health": {"lines_sent": 10, "resends": 0},
            **printer,
        },
        "link": None,
        "warnings": [],
    }


START = "sudo systemctl enable --now fabunit@mk3s"
PROVEN = {"stop": {"parser": "proven", "latency_ms": 12.0, "tested": True}}


def test_a_daemon_with_its_printer() -> None:
    assert not bad(daemon.judge(daemon.DaemonFacts("mk3s", START, status(), PROVEN)))


@pytest.mark.parametrize(
    ("document", "learned", "check", "level", "remedy"),
    [
        (
            status(state="offline", detail="no port"),
            PROVEN,
            "printer",
            Level.ERROR,
            "fabunit printer connect",
        ),
        (
            status(state="halted", detail="thermal runaway"),
            PROVEN,
            "printer",
            Level.ERROR,
            "reset the printer",
        ),
        (status(state="attention"), PROVEN, "printer", Level.WARNING, "fabunit prompt"),
        (status(state="connecting"), PROVEN, "printer", Level.NOTE, "fabunit doctor"),
        (status(health={"lines_sent": 9000, "resends": 900}), PROVEN, "cable", Level.WARNING, "shielded"),
        (status(), {"stop": {"parser": "absent"}}, "stop-path", Level.WARNING, "EMERGENCY_PARSER"),
        (
            status(),
            {"stop": {"parser": "unknown", "tested": False}},
            "stop-path",
            Level.WARNING,
            "fabunit printer test-stop",
        ),
        (
            status()
            | {"link": {"state": "offline", "broker": "mqtts://b", "problem": "refused", "remedy": "fix"}},
            PROVEN,
            "link",
            Level.WARNING,
            "fix",
        ),
        (
            status() | {"warnings": ["the bed is occupied"]},
            PROVEN,
            "daemon-says",
            Level.NOTE,
            "fabunit status",
        ),
    ],
)
def test_what_the_daemon_says(
    document: dict[str, Any], learned: dict[str, Any], check: str, level: Level, remedy: str
) -> None:
    expect_one(daemon.judge(daemon.DaemonFacts("mk3s", START, document, learned)), check, level, remedy)


def test_no_daemon() -> None:
    found = bad(daemon.judge(daemon.DaemonFacts("mk3s", START, failure=NoDaemonError("no daemon at /x"))))
    assert found["daemon"].level is Level.ERROR
    assert found["daemon"].remedy.startswith(f"{START}   (")
    denied = RefusedError("pi may not", code="denied", remedy="join the group fabunit")
    found = bad(daemon.judge(daemon.DaemonFacts("mk3s", START, failure=denied)))
    assert found["daemon"].remedy == "join the group fabunit"
