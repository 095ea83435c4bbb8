"""What doctor makes of systemd's answers about the unit; a real systemd answers in the system test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.ops.doctor import service
from agent.ops.doctor.finding import Level

SOUND = service.ServiceFacts("mk3s", "loaded", "enabled", "30s")
OVERRIDE = "/etc/systemd/system/fabunit@mk3s.service.d/override.conf"


def saying(**values: str) -> Callable[[Sequence[str]], str | None]:
    """`systemctl show` of a sound unit, with some values changed."""
    usual = {
        "FragmentPath": "/usr/lib/systemd/system/fabunit@.service",
        "LoadState": "loaded",
        "UnitFileState": "enabled",
        "WatchdogUSec": "30s",
        "NeedDaemonReload": "no",
        "DropInPaths": "",
    }
    return lambda _command: "\n".join(f"{name}={value}" for name, value in {**usual, **values}.items())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "fabunit" / "mk3s.toml"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def look(config: Path | None, run: Callable[[Sequence[str]], str | None]) -> service.ServiceFacts:
    root = config.parents[2] if config is not None else Path("/nowhere")
    return service.look("mk3s", config, root, run)


def test_a_sound_unit(config: Path) -> None:
    assert look(config, saying()) == SOUND
    assert [(finding.check, finding.level) for finding in service.judge(SOUND)] == [("service", Level.OK)]


@pytest.mark.parametrize(
    ("facts", "level", "words", "remedy"),
    [
        (
            replace(SOUND, enabled="disabled"),
            Level.WARNING,
            "is disabled",
            "sudo systemctl enable --now fabunit@mk3s",
        ),
        (
            replace(SOUND, enabled="enabled-runtime"),
            Level.WARNING,
            "power cut",
            "sudo systemctl enable --now",
        ),
        (
            replace(SOUND, load="masked", enabled="masked", watchdog="0"),
            Level.ERROR,
            "is masked",
            "sudo systemctl unmask fabunit@mk3s && sudo systemctl enable --now fabunit@mk3s",
        ),
        (replace(SOUND, is_stale=True), Level.WARNING, "old ones", "sudo systemctl daemon-reload && "),
        (
            replace(SOUND, watchdog="infinity", added=(OVERRIDE,)),
            Level.WARNING,
            "hangs stays hanging",
            f"sudo rm {OVERRIDE} && sudo systemctl daemon-reload && sudo systemctl restart fabunit@mk3s",
        ),
    ],
)
def test_what_is_wrong_with_a_unit(
    facts: service.ServiceFacts, level: Level, words: str, remedy: str
) -> None:
    (found,) = service.judge(facts)
    assert (found.check, found.level) == ("service", level)
    assert words in found.message
    assert found.remedy.startswith(remedy)


def test_only_a_persons_own_files_are_taken_away(config: Path) -> None:
    setups = "/etc/systemd/system/fabunit@mk3s.service.d/port.conf"
    packages = "/usr/lib/systemd/system/service.d/10-timeout-abort.conf"
    facts = look(config, saying(DropInPaths=f"{packages} {OVERRIDE} {setups}"))
    assert facts.added == (OVERRIDE,), "without setup's the service cannot open its port"
    whole = "/etc/systemd/system/fabunit@.service"
    assert look(config, saying(FragmentPath=whole)).added == (whole,)
    masked = saying(LoadState="masked", FragmentPath="/etc/systemd/system/fabunit@mk3s.service")
    assert look(config, masked).added == (), "unmasking takes that away"


def test_a_configuration_that_no_service_reads(config: Path, tmp_path: Path) -> None:
    """A daemon in the foreground on a machine where the package is installed, too: its unit file is not its own."""

    def run(command: Sequence[str]) -> str | None:
        raise AssertionError(f"asked: {command}")

    assert look(None, run) == service.ServiceFacts("mk3s")
    mine = tmp_path / "mk3s.toml"
    assert service.look("mk3s", mine, tmp_path, run) == service.ServiceFacts("mk3s")
    assert service.judge(service.ServiceFacts("mk3s")) == []


@pytest.mark.parametrize("said", [None, "", "System has not been booted with systemd", "LoadState=not-found"])
def test_a_machine_without_the_unit(config: Path, said: str | None) -> None:
    assert service.judge(look(config, lambda _command: said)) == []
    assert look(config, lambda _command: said).start_command == "sudo systemctl enable --now fabunit@mk3s"
