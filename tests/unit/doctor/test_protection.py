"""What protects an unattended unit beside its own program: the board's timer, systemd's walls, a level that stays."""

from __future__ import annotations

import fcntl
import os
import pty
import termios
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.ops.doctor import exposure, hangup, service, watchdog
from agent.ops.doctor.finding import Finding, Level
from tests.unit.test_systemd_unit import MOST_EXPOSURE


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def saying(text: str | None) -> Callable[[Sequence[str]], str | None]:
    return lambda _command: text


UNIT = service.ServiceFacts("mk3s", "loaded", "enabled", "30s")
PI = watchdog.WatchdogFacts(is_pi=True, has_device=True, armed="14s")


def test_an_armed_watchdog_is_fine() -> None:
    assert [finding.level for finding in watchdog.judge(PI)] == [Level.OK]
    assert watchdog.judge(replace(PI, armed=None)) == [], "without systemd nobody feeds it"
    assert watchdog.judge(replace(PI, is_pi=False, has_device=False, armed="0")) == [], "a PC without a timer"


@pytest.mark.parametrize(
    ("facts", "level", "remedy"),
    [
        (replace(PI, armed="0"), Level.WARNING, "RuntimeWatchdogSec=14s"),
        (replace(PI, armed="infinity"), Level.WARNING, "sudo systemctl daemon-reexec"),
        (replace(PI, armed="0", is_pi=False), Level.NOTE, "/etc/systemd/system.conf.d/50-watchdog.conf"),
        (
            replace(PI, has_device=False, armed="0", boot_file="/boot/config.txt"),
            Level.WARNING,
            "echo dtparam=watchdog=on | sudo tee -a /boot/config.txt && sudo reboot",
        ),
        (replace(PI, has_device=False), Level.WARNING, "/boot/firmware/config.txt"),
    ],
)
def test_a_watchdog_that_does_not_watch(facts: watchdog.WatchdogFacts, level: Level, remedy: str) -> None:
    (found,) = bad(watchdog.judge(facts))
    assert (found.check, found.level) == ("watchdog", level)
    assert remedy in found.remedy


@pytest.mark.parametrize("boot", ["boot/firmware/config.txt", "boot/config.txt"])
def test_a_raspberry_pi_is_recognised(tmp_path: Path, boot: str) -> None:
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "device-tree" / "model").write_bytes(b"Raspberry Pi Zero 2 W Rev 1.0\0")
    (tmp_path / boot).parent.mkdir(parents=True)
    (tmp_path / boot).touch()
    facts = watchdog.look(tmp_path, saying("RuntimeWatchdogUSec=0"))
    assert facts == watchdog.WatchdogFacts(is_pi=True, has_device=False, armed="0", boot_file=f"/{boot}")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "watchdog0").touch()
    assert watchdog.look(tmp_path, saying("RuntimeWatchdogUSec=14s")) == replace(
        facts, has_device=True, armed="14s"
    )


@pytest.mark.parametrize("said", [None, "", "System has not been booted with systemd"])
def test_a_machine_without_systemd(tmp_path: Path, said: str | None) -> None:
    assert watchdog.look(tmp_path, saying(said)).armed is None
    assert exposure.look(UNIT, saying(said)).score is None
    assert exposure.judge(exposure.look(UNIT, saying(said))) == []


def test_a_service_as_it_is_shipped() -> None:
    said = "  NAME  DESCRIPTION\n\n→ Overall exposure level for fabunit@mk3s.service: 1.3 OK 🙂"
    facts = exposure.look(UNIT, saying(said))
    assert facts.score == 1.3
    assert not bad(exposure.judge(facts))
    assert exposure.MOST_EXPOSURE == MOST_EXPOSURE, "the unit's own test holds it to the same"


def test_a_service_that_was_opened() -> None:
    said = "→ Overall exposure level for fabunit@mk3s.service: 9.2 UNSAFE 😨"
    (found,) = bad(exposure.judge(exposure.look(UNIT, saying(said))))
    assert found.level is Level.WARNING
    assert "9.2" in found.message
    assert found.remedy.startswith("systemctl cat fabunit@mk3s"), "it does not know who has opened it"
    changed = replace(UNIT, added=("/etc/systemd/system/fabunit@.service.d/override.conf",))
    (found,) = bad(exposure.judge(exposure.look(changed, saying(said))))
    assert changed.added[0] in found.message
    assert found.remedy == changed.restoring_command


def test_the_installed_service_is_asked_about() -> None:
    asked: list[Sequence[str]] = []
    exposure.look(UNIT, asked.append)
    assert [list(command) for command in asked] == [
        ["systemd-analyze", "security", "--no-pager", "fabunit@mk3s.service"]
    ]


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A terminal that somebody holds open, and its name."""
    master, slave = pty.openpty()
    yield slave, os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize("is_set", [True, False])
def test_a_port_whose_closing_would_drop_dtr(terminal: tuple[int, str], is_set: bool) -> None:
    descriptor, name = terminal
    flags = termios.tcgetattr(descriptor)
    flags[2] = flags[2] | termios.HUPCL if is_set else flags[2] & ~termios.HUPCL
    termios.tcsetattr(descriptor, termios.TCSANOW, flags)
    facts = hangup.look(name, is_held=True)
    assert facts == hangup.HangupFacts(name, is_set)
    found = bad(hangup.judge(facts))
    assert [finding.remedy for finding in found] == ([f"sudo stty -F {name} -hupcl"] if is_set else [])


def test_a_port_nobody_holds_is_never_opened() -> None:
    def read(device: str) -> bool | None:
        raise AssertionError(f"{device} was opened: that raises DTR")

    assert hangup.look("/dev/ttyUSB0", is_held=False, read=read).is_set is None
    assert hangup.look("", is_held=True, read=read).is_set is None
    assert hangup.judge(hangup.HangupFacts("/dev/ttyUSB0", None)) == []


def test_a_port_that_cannot_be_asked(tmp_path: Path, terminal: tuple[int, str]) -> None:
    (tmp_path / "file").touch()
    assert hangup.look(str(tmp_path / "none"), is_held=True).is_set is None
    assert hangup.look(str(tmp_path / "file"), is_held=True).is_set is None
    if os.geteuid() != 0:
        fcntl.ioctl(terminal[0], termios.TIOCEXCL)
        assert hangup.look(terminal[1], is_held=True).is_set is None
