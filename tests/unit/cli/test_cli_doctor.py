"""`doctor`, `support-bundle` and `events` as a maker types them."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli.doctor import default_config
from agent.domain.errors import UsageError
from agent.domain.events import ClockState
from tests.unit.cli.conftest import Cli
from tests.unit.control.fake_unit import make_event
from tests.unit.control.served import Served


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose state directory is there."""
    state = tmp_path / "state"
    state.mkdir(mode=0o750)
    path = tmp_path / "mk3s.toml"
    path.write_text(f'[unit]\nid = "mk3s"\nstate_dir = "{state}"\n[printer]\nport = "socket://127.0.0.1:1"\n')
    return path


def test_without_a_daemon_it_names_the_command_and_fails(lonely: Cli, config: Path) -> None:
    document = lonely.json(
        "doctor", "--quick", "--config", str(config), "--socket", str(lonely.socket), code=1
    )
    found = {finding["check"]: finding for finding in document["findings"]}
    assert document["worst"] == "error"
    assert found["daemon"]["level"] == "error"
    assert found["daemon"]["remedy"].startswith("sudo systemctl enable --now fabunit@mk3s")
    assert found["config"]["level"] == "ok"
    assert found["profile"]["level"] == "ok"


def test_with_a_daemon_it_asks_it(cli: Cli, config: Path) -> None:
    document = cli.json("doctor", "--quick", "--config", str(config))
    found = {finding["check"]: finding for finding in document["findings"]}
    assert found["daemon"]["level"] == "ok"
    assert "Prusa-Firmware" in found["printer"]["message"]
    text = cli("doctor", "--quick", "--config", str(config)).stdout
    assert "checks:" in text
    assert "→" in text or "0 warnings" in text


def test_a_broken_configuration_is_a_finding_with_its_line(lonely: Cli, config: Path) -> None:
    config.write_text('[printer]\nprot = "auto"\n')
    document = lonely.json("doctor", "--quick", "--config", str(config), code=1)
    found = next(finding for finding in document["findings"] if finding["check"] == "config")
    assert "line 2" in found["message"]
    assert found["remedy"].startswith(f"sudoedit {config}")


def test_of_several_units_one_has_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the defaults it would report on a unit nobody has."""
    monkeypatch.delenv("FABUNIT_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert default_config(tmp_path) is None
    (tmp_path / "big.toml").touch()
    assert default_config(tmp_path) == tmp_path / "big.toml"
    (tmp_path / "mk3s.toml").touch()
    with pytest.raises(UsageError, match="2 units: big, mk3s") as raised:
        default_config(tmp_path)
    assert raised.value.remedy == f"name one: --config {tmp_path}/big.toml"


def test_a_bundle(cli: Cli, config: Path, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    document = cli.json("support-bundle", "--config", str(config), "--output", str(target))
    assert document["bytes"] == target.stat().st_size
    with tarfile.open(target) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert names >= {
        "README.txt",
        "doctor.json",
        "config/mk3s.toml",
        "daemon/status.json",
        "daemon/transcript.json",
    }
    cli("support-bundle", "--config", str(config), "--output", str(target), code=1)


def test_events_across_a_restart_of_the_machine(cli: Cli, served: Served) -> None:
    events = [make_event(seq) for seq in range(1, 8)]
    events[5:] = [replace(event, boot="later", clk=ClockState.UNSYNC) for event in events[5:]]
    served.unit.queue.events = events
    assert [event["seq"] for event in cli.json("events", "-n", "3")["events"]] == [5, 6, 7]
    lines = cli("events", "-n", "3").stdout.splitlines()
    assert lines[1] == "-- the machine was restarted --"
    assert "?" in lines[2]
    served.unit.queue.events = []
    assert "nothing" in cli("events").stdout
