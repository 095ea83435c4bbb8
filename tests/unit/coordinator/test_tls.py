"""TLS: every way it can fail is named, and nothing falls back to plain text."""

from __future__ import annotations

import queue
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from agent.coordinator import tls
from agent.coordinator.broker_address import parse_address
from agent.coordinator.client import BrokerClient, Credentials
from agent.coordinator.messages import Closed, CloseKind, Message
from agent.coordinator.network import Connected, Ended, NetworkEvent
from tests.unit.coordinator.broker import free_port, is_open
from tests.unit.coordinator.certificates import OPENSSL, authority, certificate, openssl, revoked
from tests.unit.coordinator.conftest import StartBroker

WITHIN_S = 15.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if OPENSSL is None:
        pytest.skip("openssl is not installed")
    authority(tmp_path, "root")
    authority(tmp_path, "stranger")
    return tmp_path


def serve(start: StartBroker, folder: Path, name: str, *more: str) -> str:
    lines = (f"cafile {folder}/root.pem", f"certfile {folder}/{name}.pem", f"keyfile {folder}/{name}.key")
    broker = start("allow_anonymous true", *lines, *more)
    return f"mqtts://127.0.0.1:{broker.port}"


def attempt(url: str, *, is_clock_set: bool = True, **options: Any) -> Connected | Closed:
    events: queue.Queue[NetworkEvent] = queue.Queue()
    who = Credentials("unit-1", **options)
    client = BrokerClient(
        1, parse_address(url), who, Message("w", b""), events.put, is_clock_set=is_clock_set
    )
    client.start()
    event = events.get(timeout=WITHIN_S)
    client.drop()
    assert client.join(5.0)
    if isinstance(event, Connected):
        return event
    assert isinstance(event, Ended)
    return event.why


BAD = [
    ("stranger", "127.0.0.1", (-1, 30), "authority"),
    ("root", "127.0.0.1", (-30, -1), "expired"),
    ("root", "127.0.0.1", (2, 30), "not valid yet"),
    ("root", "broker.example", (-1, 30), "not for 127.0.0.1"),
]


def test_a_private_authority_is_enough(start_broker: StartBroker, folder: Path) -> None:
    certificate(folder, "good", "root")
    url = serve(start_broker, folder, "good")
    assert isinstance(attempt(url, ca_file=folder / "root.pem"), Connected)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad[3])
def test_a_bad_certificate_is_named(
    start_broker: StartBroker, folder: Path, bad: tuple[str, str, tuple[int, int], str]
) -> None:
    issuer, host, days, said = bad
    certificate(folder, "bad", issuer, host=host, days=days)
    url = serve(start_broker, folder, "bad")
    why = attempt(url, ca_file=folder / "root.pem", is_clock_set=False)
    assert isinstance(why, Closed)
    assert why.kind is CloseKind.CERTIFICATE
    assert said in why.detail
    if "valid" in said or "expired" in said:
        assert time.strftime("clock, which says %Y-") in why.detail
        assert "that clock is not set" in why.detail
        assert "timedatectl" in why.remedy


def test_a_missing_and_a_good_client_certificate(start_broker: StartBroker, folder: Path) -> None:
    certificate(folder, "good", "root")
    certificate(folder, "unit-1", "root")
    url = serve(start_broker, folder, "good", "require_certificate true")
    why = attempt(url, ca_file=folder / "root.pem")
    assert isinstance(why, Closed)
    assert "client_cert" in why.remedy, "by the alert, or because the broker just hung up"
    files: dict[str, Any] = {"client_cert": folder / "unit-1.pem", "client_key": folder / "unit-1.key"}
    assert isinstance(attempt(url, ca_file=folder / "root.pem", **files), Connected)


def test_tls_to_a_plain_port_and_plain_to_a_tls_port(start_broker: StartBroker, folder: Path) -> None:
    plain = start_broker("allow_anonymous true")
    why = attempt(f"mqtts://127.0.0.1:{plain.port}", ca_file=folder / "root.pem")
    assert isinstance(why, Closed)
    certificate(folder, "good", "root")
    url = serve(start_broker, folder, "good")
    assert isinstance(attempt(url.replace("mqtts", "mqtt")), Closed)


def test_unreadable_files_are_named(folder: Path) -> None:
    why = attempt("mqtts://127.0.0.1:1", ca_file=folder / "none.pem")
    assert isinstance(why, Closed)
    assert why.kind is CloseKind.CERTIFICATE
    assert "none.pem" in why.detail


def test_a_wrong_password_is_named(start_broker: StartBroker, tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run([tool, "-c", "-b", str(passwords), "unit-1", "right"], check=True, capture_output=True)
    passwords.chmod(0o644)
    broker = start_broker(f"password_file {passwords}", "allow_anonymous false")
    password = tmp_path / "password"
    password.write_text("right\n")
    files: dict[str, Any] = {"password_file": password}
    assert isinstance(attempt(broker.url, username="unit-1", **files), Connected)
    password.write_text("wrong\n")
    why = attempt(broker.url, username="unit-1", **files)
    assert isinstance(why, Closed)
    assert why.kind is CloseKind.REFUSED
    assert "password_file" in why.remedy


def test_tls_1_2_is_the_least(folder: Path) -> None:
    made = tls.context(folder / "root.pem", None, None)
    assert made.minimum_version.name == "TLSv1_2"
    assert made.check_hostname


def test_websockets(start_broker: StartBroker) -> None:
    port = free_port()
    lines = (
        "allow_anonymous true",
        f"listener {port} 127.0.0.1",
        "protocol websockets",
        "socket_domain ipv4",
    )
    broker = start_broker(*lines)
    assert is_open(port)
    assert isinstance(attempt(f"ws://127.0.0.1:{port}/mqtt"), Connected)
    why = attempt(f"ws://127.0.0.1:{broker.port}/mqtt")
    assert isinstance(why, Closed)
    assert "WebSocket" in why.detail


def test_websockets_over_tls(start_broker: StartBroker, folder: Path) -> None:
    certificate(folder, "good", "root")
    port = free_port()
    files = (f"cafile {folder}/root.pem", f"certfile {folder}/good.pem", f"keyfile {folder}/good.key")
    start_broker(
        "allow_anonymous true",
        f"listener {port} 127.0.0.1",
        "protocol websockets",
        "socket_domain ipv4",
        *files,
    )
    assert is_open(port)
    assert isinstance(attempt(f"wss://127.0.0.1:{port}/mqtt", ca_file=folder / "root.pem"), Connected)
    why = attempt(f"wss://127.0.0.1:{port}/mqtt", ca_file=folder / "stranger.pem")
    assert isinstance(why, Closed)
    assert why.kind is CloseKind.CERTIFICATE
    assert "authority" in why.detail
    assert isinstance(attempt(f"ws://127.0.0.1:{port}/mqtt"), Closed), "nothing falls back to plain text"


def test_a_revoked_client_certificate_is_named(start_broker: StartBroker, folder: Path) -> None:
    certificate(folder, "good", "root")
    certificate(folder, "unit-1", "root")
    files: dict[str, Any] = {"client_cert": folder / "unit-1.pem", "client_key": folder / "unit-1.key"}
    files["ca_file"] = folder / "root.pem"
    # The list is made with the index that `certificate` has just left: unit-1 is its only entry.
    authority_files = ["-config", "ca.cnf", "-cert", "root.pem", "-keyfile", "root.key"]
    openssl("ca", *authority_files, "-gencrl", "-crldays", "30", "-out", "crl.pem", folder=folder)
    lists = ("require_certificate true", f"crlfile {folder}/crl.pem")
    assert isinstance(attempt(serve(start_broker, folder, "good", *lists), **files), Connected)
    revoked(folder, "unit-1", "root")
    why = attempt(serve(start_broker, folder, "good", *lists), **files)
    assert isinstance(why, Closed)
    assert "revoked" in why.remedy, "by the alert, or because the broker just hung up"


def test_an_expired_client_certificate_is_named(start_broker: StartBroker, folder: Path) -> None:
    certificate(folder, "good", "root")
    certificate(folder, "unit-1", "root", days=(-30, -1))
    files: dict[str, Any] = {"client_cert": folder / "unit-1.pem", "client_key": folder / "unit-1.key"}
    why = attempt(
        serve(start_broker, folder, "good", "require_certificate true"), ca_file=folder / "root.pem", **files
    )
    assert isinstance(why, Closed)
    assert "expired" in why.remedy, "by the alert, or because the broker just hung up"


def test_a_user_that_was_removed_is_refused_and_named(start_broker: StartBroker, tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    passwords, password = tmp_path / "passwords", tmp_path / "password"
    for options in (
        ["-c", "-b", str(passwords), "unit-1", "right"],
        ["-b", str(passwords), "other", "right"],
    ):
        subprocess.run([tool, *options], check=True, capture_output=True)
    passwords.chmod(0o644)
    password.write_text("right\n")
    broker = start_broker(f"password_file {passwords}", "allow_anonymous false")
    assert isinstance(attempt(broker.url, username="unit-1", password_file=password), Connected)
    subprocess.run([tool, "-D", str(passwords), "unit-1"], check=True, capture_output=True)
    passwords.chmod(0o644)
    assert broker.process is not None
    broker.process.send_signal(signal.SIGHUP)

    def is_refused() -> bool:
        why = attempt(broker.url, username="unit-1", password_file=password)
        return isinstance(why, Closed) and why.kind is CloseKind.REFUSED and "username" in why.remedy

    deadline = time.monotonic() + WITHIN_S
    while not is_refused():
        assert time.monotonic() < deadline, "the broker still takes the removed user"
