"""The unit file says what an unattended box needs; systemd itself is asked where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from agent import paths
from agent.cli.session import Session
from agent.daemon import SUSPEND_BUDGET_S
from agent.domain.errors import UsageError
from agent.http.server import STOP_BUDGET_S
from agent.paths import running_sockets

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "fabunit@.service"
MOST_EXPOSURE = 1.6


@pytest.fixture(scope="module")
def unit() -> dict[str, dict[str, list[str]]]:
    """Section → key → values, in order."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, separator, value = line.partition("=")
            assert separator, line
            found[section][key].append(value)
    return found


def test_an_unattended_unit_never_stays_down(unit: dict[str, dict[str, list[str]]]) -> None:
    service = unit["Service"]
    assert service["Restart"] == ["always"]
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert "BindsTo" not in unit["Unit"]
    assert unit["Install"]["WantedBy"] == ["multi-user.target"]


def test_a_hang_is_noticed_and_a_stop_has_time(unit: dict[str, dict[str, list[str]]]) -> None:
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == (["notify"], ["main"])
    assert service["WatchdogSec"] == ["30s"]
    assert service["KillMode"] == ["mixed"]
    stop_s = int(service["TimeoutStopSec"][0].removesuffix("s"))
    assert stop_s > max(15, SUSPEND_BUDGET_S + STOP_BUDGET_S)


def test_every_instance_has_its_own_file_and_folders(unit: dict[str, dict[str, list[str]]]) -> None:
    service = unit["Service"]
    assert service["ExecStart"] == ["/opt/fabunit/current/bin/fabunit run --config /etc/fabunit/%i.toml"]
    assert service["StateDirectory"] == service["RuntimeDirectory"] == ["fabunit/%i"]
    assert service["ConfigurationDirectory"] == ["fabunit"]
    assert (service["User"], service["SupplementaryGroups"]) == (["fabunit"], ["dialout"])


@pytest.mark.parametrize("family", ["ttyACM", "ttyUSB", "ttyAMA"])
def test_serial_ports_and_nothing_else_can_be_opened(
    unit: dict[str, dict[str, list[str]]], family: str
) -> None:
    service = unit["Service"]
    assert service["DevicePolicy"] == ["closed"]
    assert f"char-{family} rw" in service["DeviceAllow"]
    assert "PrivateDevices" not in service
    assert service["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictNamespaces", "yes"),
        ("SystemCallArchitectures", "native"),
        ("UMask", "0077"),
    ],
)
def test_hardening(unit: dict[str, dict[str, list[str]]], key: str, value: str) -> None:
    assert unit["Service"][key] == [value]


def test_the_workers_may_lower_their_priority(unit: dict[str, dict[str, list[str]]]) -> None:
    # The gate's child calls nice() and setrlimit(), both in @resources, a part of @system-service.
    assert unit["Service"]["SystemCallFilter"] == ["@system-service", "~@privileged"]


def test_the_command_line_finds_the_sockets_of_services(tmp_path: Path) -> None:
    assert running_sockets(tmp_path / "none") == ()
    for name in ("mk3s", "mini", "stopped"):
        (tmp_path / name).mkdir()
    (tmp_path / "fabunit.sock.lock").touch()
    for name in ("mk3s", "mini"):
        (tmp_path / name / "fabunit.sock").touch()
    assert [socket.parent.name for socket in running_sockets(tmp_path)] == ["mini", "mk3s"]


def test_several_services_and_no_name_is_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = (tmp_path / "mini" / "fabunit.sock", tmp_path / "mk3s" / "fabunit.sock")
    monkeypatch.delenv("FABUNIT_SOCKET", raising=False)
    monkeypatch.setattr(paths, "default_socket", lambda: tmp_path / "none")
    monkeypatch.setattr(paths, "running_sockets", lambda: units[:1])
    session = Session(as_json=False, config=None, socket_path=None)
    assert session.socket() == units[0]
    monkeypatch.setattr(paths, "running_sockets", lambda: units)
    with pytest.raises(UsageError, match="mini, mk3s"):
        session.socket()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_accepts_the_unit_and_scores_it(tmp_path: Path) -> None:
    copy = tmp_path / "fabunit@bench.service"
    copy.write_text(UNIT.read_text().replace("/opt/fabunit/current/bin/fabunit", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    overall = next(line for line in scored.stdout.splitlines() if "Overall exposure level" in line)
    assert float(overall.rpartition(":")[2].split()[0]) <= MOST_EXPOSURE
