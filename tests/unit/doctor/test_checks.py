"""Each check with the state it is there to find, and with the state in which it has nothing to say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import NoDaemonError, RefusedError
from agent.ops.doctor import (
    access,
    configuration,
    daemon,
    disk,
    installation,
    machine,
    port,
    records,
    slicers,
)
from agent.ops.doctor.finding import Finding, Level, Report
from agent.ops.host import HostHealth
from agent.printer.port.holders import Holder
from agent.slicing.engine import FoundEngine


def bad(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings if finding.level is not Level.OK}


INSTALLED = installation.InstallationFacts("0.1.0", "0.1.0", (3, 11, 2), 64, "aarch64", "Debian 12")


def test_a_sound_installation_has_no_findings() -> None:
    assert not bad(installation.judge(INSTALLED))
    assert not bad(installation.judge(replace(INSTALLED, running=None)))


@pytest.mark.parametrize(
    ("facts", "check", "level", "remedy"),
    [
        (replace(INSTALLED, python=(3, 9, 2)), "python", Level.ERROR, "Bookworm"),
        (replace(INSTALLED, bits=32, machine="armv7l"), "architecture", Level.WARNING, "64-bit"),
        (replace(INSTALLED, running="0.0.9"), "version", Level.WARNING, "sudo systemctl restart"),
    ],
)
def test_installation(facts: installation.InstallationFacts, check: str, level: Level, remedy: str) -> None:
    found = bad(installation.judge(facts))
    assert set(found) == {check}
    assert found[check].level is level
    assert remedy in found[check].remedy


def test_configuration_names_key_and_line() -> None:
    facts = configuration.ConfigurationFacts(
        Path("/etc/fabunit/a.toml"), "a.toml, line 3: no key `prot`", "did you mean port?"
    )
    found = bad(configuration.judge(facts))["config"]
    assert found.level is Level.ERROR
    assert "line 3" in found.message
    assert found.remedy.startswith("sudoedit /etc/fabunit/a.toml")
    assert "port?" in found.remedy


def test_configuration_without_a_file_is_a_note() -> None:
    assert bad(configuration.judge(configuration.ConfigurationFacts(None)))["config"].level is Level.NOTE


def test_profile_that_is_missing_or_broken(tmp_path: Path) -> None:
    facts = configuration.look_at_profile("no-such", [tmp_path])
    assert bad(configuration.judge_profile(facts))["profile"].level is Level.ERROR
    (tmp_path / "printers").mkdir()
    (tmp_path / "printers" / "mine.toml").write_text('title = "x"\n[geometry]\nvolume = 1\n')
    facts = configuration.look_at_profile("mine", [tmp_path])
    assert "line 3" in bad(configuration.judge_profile(facts))["profile"].message


ACCESS = access.AccessFacts(
    user="fabunit",
    me="pi",
    user_groups=frozenset({"fabunit", "dialout"}),
    port="/dev/ttyUSB0",
    port_group="dialout",
    is_port_open=True,
    state_dir="/var/lib/fabunit/a",
    state_mode=0o750,
    is_state_writable=True,
    socket="/run/fabunit/a/fabunit.sock",
    socket_group="fabunit",
    is_socket_open=True,
)


def test_access_is_fine() -> None:
    assert not bad(access.judge(ACCESS))


@pytest.mark.parametrize(
    ("facts", "check", "level", "remedy"),
    [
        (replace(ACCESS, is_port_open=False), "port-access", Level.ERROR, "sudo usermod -aG dialout fabunit"),
        (
            replace(ACCESS, user="pi", is_port_open=False),
            "port-access",
            Level.ERROR,
            "sudo usermod -aG dialout pi, then log out",
        ),
        (replace(ACCESS, is_state_writable=False), "state-dir", Level.ERROR, "sudo chown -R fabunit:"),
        (replace(ACCESS, state_mode=0o777), "state-dir", Level.WARNING, "sudo chmod 750 /var/lib/fabunit/a"),
        (replace(ACCESS, state_mode=None), "state-dir", Level.NOTE, "systemctl start"),
        (replace(ACCESS, is_socket_open=False), "socket-access", Level.ERROR, "sudo usermod -aG fabunit pi"),
    ],
)
def test_access(facts: access.AccessFacts, check: str, level: Level, remedy: str) -> None:
    found = bad(access.judge(facts))
    assert set(found) == {check}
    assert found[check].level is level
    assert remedy in found[check].remedy


def test_access_facts_of_this_machine(tmp_path: Path) -> None:
    facts = access.look(tmp_path, "/dev/null", tmp_path / "none.sock")
    assert facts.state_mode is not None
    assert facts.is_state_writable
    assert facts.is_port_open
    assert facts.is_socket_open is None


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
    found = bad(port.judge(facts))
    assert set(found) == {check}
    assert found[check].level is level
    assert remedy in found[check].remedy


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


HEALTH = HostHealth(50.0, 0, False, 300 << 20, 900 << 20, 1 << 30, 8 << 30, 0.1, 100.0, is_clock_set=True)


def test_a_healthy_board() -> None:
    assert not bad(machine.judge(HEALTH))
    unknown = HostHealth(None, None, None, None, None, None, None, None, None, is_clock_set=True)
    assert not bad(machine.judge(unknown))


@pytest.mark.parametrize(
    ("health", "check", "level"),
    [
        (replace(HEALTH, throttled=0x1, is_under_voltage=True), "power", Level.ERROR),
        (replace(HEALTH, throttled=0x10000), "power", Level.WARNING),
        (replace(HEALTH, throttled=0x4), "temperature", Level.WARNING),
        (replace(HEALTH, throttled=0x80000), "temperature", Level.NOTE),
        (replace(HEALTH, cpu_c=85.0), "temperature", Level.WARNING),
        (replace(HEALTH, memory_available_bytes=10 << 20), "memory", Level.WARNING),
        (
            replace(HEALTH, memory_total_bytes=256 << 20, memory_available_bytes=200 << 20),
            "memory",
            Level.WARNING,
        ),
        (replace(HEALTH, is_clock_set=False), "clock", Level.WARNING),
    ],
)
def test_the_board(health: HostHealth, check: str, level: Level) -> None:
    found = bad(machine.judge(health))
    assert set(found) == {check}
    assert found[check].level is level
    assert found[check].remedy


@pytest.mark.parametrize(
    ("said", "throttled", "under"),
    [
        ("throttled=0x50005", 0x50005, True),
        ("throttled=0x0", 0, False),
        ("VCHI initialization failed", None, None),
    ],
)
def test_vcgencmd_is_asked_where_the_kernel_is_silent(
    said: str, throttled: int | None, under: bool | None
) -> None:
    silent = replace(HEALTH, throttled=None, is_under_voltage=None)
    asked = machine.with_vcgencmd(silent, lambda _: said)
    assert (asked.throttled, asked.is_under_voltage) == (throttled, under)
    assert machine.with_vcgencmd(HEALTH, lambda _: said) is HEALTH


DISK = disk.DiskFacts("/s", 10 << 30, 256 << 20, verdict="ok")


def test_a_sound_disk() -> None:
    assert not bad(disk.judge(DISK))
    assert not bad(disk.judge(replace(DISK, free_bytes=None, verdict="")))


@pytest.mark.parametrize(
    ("facts", "check", "level", "remedy"),
    [
        (replace(DISK, free_bytes=1 << 20), "disk", Level.ERROR, "journalctl --vacuum-size"),
        (replace(DISK, free_bytes=500 << 20), "disk", Level.WARNING, "du -xh"),
        (replace(DISK, verdict="row 3 missing from index"), "database", Level.ERROR, "systemctl restart"),
        (
            replace(DISK, error="cannot be written", verdict=""),
            "database",
            Level.ERROR,
            "sudo fabunit doctor",
        ),
        (replace(DISK, damaged=("fabunit.db.corrupt-1Z",)), "database-history", Level.WARNING, "sudo rm"),
    ],
)
def test_the_disk(facts: disk.DiskFacts, check: str, level: Level, remedy: str) -> None:
    found = bad(disk.judge(facts))
    assert set(found) == {check}
    assert found[check].level is level
    assert remedy in found[check].remedy


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
    found = bad(daemon.judge(daemon.DaemonFacts("mk3s", START, document, learned)))
    assert set(found) == {check}
    assert found[check].level is level
    assert remedy in found[check].remedy


def test_no_daemon() -> None:
    found = bad(daemon.judge(daemon.DaemonFacts("mk3s", START, failure=NoDaemonError("no daemon at /x"))))
    assert found["daemon"].level is Level.ERROR
    assert found["daemon"].remedy.startswith(f"{START}   (")
    denied = RefusedError("pi may not", code="denied", remedy="join the group fabunit")
    found = bad(daemon.judge(daemon.DaemonFacts("mk3s", START, failure=denied)))
    assert found["daemon"].remedy == "join the group fabunit"


def test_slicers() -> None:
    assert bad(slicers.judge(slicers.SlicerFacts([])))["slicer"].level is Level.NOTE
    odd = FoundEngine("prusaslicer", Path("/x"), (9, 0, 0), is_supported=False)
    assert bad(slicers.judge(slicers.SlicerFacts([odd])))["slicer"].level is Level.WARNING
    assert not bad(slicers.judge(slicers.SlicerFacts([replace(odd, is_supported=True)])))


def test_records(tmp_path: Path) -> None:
    facts = records.look("a", tmp_path, tmp_path, lambda _: "NRestarts=12\nResult=watchdog")
    found = bad(records.judge(facts))
    assert found["journal"].level is Level.NOTE
    assert found["restarts"].level is Level.WARNING
    assert "watchdog" in found["restarts"].message
    (tmp_path / "var" / "log" / "journal").mkdir(parents=True)
    assert not bad(
        records.judge(records.look("a", tmp_path, tmp_path, lambda _: "NRestarts=0\nResult=success"))
    )
    assert not bad(records.judge(records.look("a", tmp_path, tmp_path, lambda _: None)))


def test_the_report_names_its_worst() -> None:
    report = Report(
        (Finding("a", Level.OK, "x"), Finding("b", Level.WARNING, "y", "z"), Finding("c", Level.NOTE, "n"))
    )
    assert report.worst is Level.WARNING
    assert report.to_document()["counts"] == {"ok": 1, "note": 1, "warning": 1, "error": 0}
    assert Report(()).worst is Level.OK
