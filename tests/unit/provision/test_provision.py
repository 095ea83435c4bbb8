"""What setup decides and writes, piece by piece."""

from __future__ import annotations

import os
import pty
import signal
import tomllib
from pathlib import Path

import pytest

from agent import paths
from agent.coordinator.joining import Grant
from agent.domain.errors import ConfigError, RefusedError, StorageError, UsageError
from agent.provision import service
from agent.provision.plan import Place, UnitPlan, config_text, needs_plaintext, unit_id_from
from agent.provision.profile_choice import Measures, parse_volume, profile_text, suggested, usable_profiles
from agent.provision.writing import NewFile, undisturbed, write_all
from agent.settings import load_settings

SEARCH = (paths.data_dir() / "slicer_profiles",)


def plan(**changes: object) -> UnitPlan:
    found: dict[str, object] = {
        "unit": "mk3s",
        "name": "",
        "port": "auto",
        "baud": None,
        "profile": "prusa-mk3s",
    }
    found |= {"state_dir": Path("/var/lib/fabunit/mk3s"), **changes}
    return UnitPlan(**found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "profile"),
    [
        ("Original Prusa i3 MK3S", None), ("Prusa MK 3 S", "prusa-mk3s"), ("Ender-3 V2", "ender-3"),
        ("Creality Ender 3", "ender-3"), ("3D Printer", None), ("", None), ("Ender-5", None), ("RepRap", None),
    ],
)  # fmt: skip
def test_a_profile_is_only_suggested_when_all_of_its_name_was_said(machine: str, profile: str | None) -> None:
    if machine == "Original Prusa i3 MK3S":
        profile = "prusa-mk3s"
    assert suggested(machine, usable_profiles(SEARCH)) == profile


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("220x220x250", (220, 220, 250)), ("180 X 180 x 180mm", (180, 180, 180)), ("1,2,3", (1, 2, 3))],
)
def test_volumes(text: str, wanted: tuple[float, ...]) -> None:
    assert parse_volume(text) == wanted


@pytest.mark.parametrize("text", ["", "220", "axbxc", "1x2x3x4", "220x220"])
def test_no_volume(text: str) -> None:
    with pytest.raises(UsageError):
        parse_volume(text)


def test_a_made_profile_is_a_usable_one(tmp_path: Path) -> None:
    text = profile_text(Measures('My "big" one', (300, 310, 400), 0.6, 280, 0), SEARCH)
    made = tomllib.loads(text)
    assert made["title"] == 'My "big" one'
    assert made["geometry"]["volume_mm"] == [300, 310, 400]
    assert "bed" not in made["heaters"]
    assert made["park"]["position_mm"] == [10, 290]
    with pytest.raises(ConfigError):
        profile_text(Measures("x", (0, 1, 1), 0.4, 260, 110), SEARCH)
    with pytest.raises(ConfigError):
        profile_text(Measures("x", (1, 1, 1), 0.4, 2600, 110), SEARCH)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("Prusa i3 MK3S", "prusa-i3-mk3s"), ("Ender-3 V2", "ender-3-v2"), ("ß", ""), ("x" * 99, "x" * 64)],
)
def test_ids_made_of_names(name: str, unit: str) -> None:
    assert unit_id_from(name) == unit


def test_the_configuration_of_a_service_with_a_coordinator(tmp_path: Path) -> None:
    place = Place.of_service("mk3s", tmp_path)
    grant = Grant(
        "mk3s", "hunter2", "PEM", ("ed25519 desk W3xKc0",), ("files.example",), require_signature=True
    )
    text = config_text(plan(url="mqtts://broker:8883", name="Workshop"), place, grant)
    place.config.write_text(text)
    settings = load_settings(place.config, {})
    assert settings.coordinator.url == "mqtts://broker:8883"
    assert settings.coordinator.password_file == Path("/run/credentials/fabunit@mk3s.service/mqtt-password")
    assert settings.coordinator.ca_file == tmp_path / "mk3s.ca.pem"
    assert settings.unit.state_dir == Path("/var/lib/fabunit/mk3s")
    assert "hunter2" not in text
    assert place.password == Path("/etc/credstore/fabunit.mk3s.mqtt-password")


def test_a_configuration_that_the_daemon_would_refuse_is_never_written() -> None:
    place = Place.of_service("mk3s")
    with pytest.raises(ConfigError):
        config_text(plan(url="mqtt://far.example"), place, Grant("mk3s"))
    assert needs_plaintext("mqtt://far.example")
    assert not needs_plaintext("mqtt://127.0.0.1")
    assert "plaintext = true" in config_text(
        plan(url="mqtt://far.example", is_plaintext=True), place, Grant("mk3s")
    )
    with pytest.raises(ConfigError):
        config_text(plan(port="nowhere"), place, None)


def test_all_files_or_none(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(StorageError):
        write_all([NewFile(tmp_path / "one", "1"), NewFile(tmp_path / "blocked/two", "2")])
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]


def test_an_older_file_stays_unless_it_may_go(tmp_path: Path) -> None:
    path = tmp_path / "unit.toml"
    path.write_text("mine")
    with pytest.raises(RefusedError):
        write_all([NewFile(tmp_path / "other", "1"), NewFile(path, "2")])
    assert path.read_text() == "mine"
    assert not (tmp_path / "other").exists()
    write_all([NewFile(path, "2", 0o600, may_replace=True)])
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("2", 0o600)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("mine")
    link.symlink_to(target)
    write_all([NewFile(link, "new", may_replace=True)])
    assert target.read_text() == "mine"
    assert not link.is_symlink()


def test_ctrl_c_waits_for_the_end_of_writing() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), undisturbed():  # noqa: PT012 - where it is raised is what is tested
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_port_of_an_unusual_kind_gets_a_drop_in(tmp_path: Path) -> None:
    devices = tmp_path / "devices"
    devices.write_text("Character devices:\n  4 ttyS\n136 pts\n188 ttyUSB\n\nBlock devices:\n136 pts\n")
    master, slave = pty.openpty()
    try:
        said = service.drop_in(os.ttyname(slave), devices)
    finally:
        os.close(master)
        os.close(slave)
    assert said is not None
    assert said.endswith("[Service]\nDeviceAllow=char-pts rw\n")
    assert service.drop_in("/dev/null", devices) is None
    assert service.drop_in("socket://host:1", devices) is None
    devices.write_text("Character devices:\n136 ttyUSB\n")
    assert service.drop_in("/dev/pts/ptmx", devices) is None
