"""Each check with the state it is there to find, and with the state in which it has nothing to say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.ops.doctor import (
    access,
    configuration,
    disk,
    installation,
    machine,
    records,
    slicers,
)
from agent.ops.doctor.finding import Finding, Level, Report
from agent.ops.host import HostHealth
from agent.slicing.engine import FoundEngine
from tests.unit.doctor.complaints import bad, expect_one

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
    expect_one(installation.judge(facts), check, level, remedy)


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
    expect_one(access.judge(facts), check, level, remedy)


def test_access_facts_of_this_machine(tmp_path: Path) -> None:
    facts = access.look(tmp_path, "/dev/null", tmp_path / "none.sock")
    assert facts.state_mode is not None
    assert facts.is_state_writable
    assert facts.is_port_open
    assert facts.is_socket_open is None


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
    expect_one(disk.judge(facts), check, level, remedy)


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
