"""The way to a broker, tried without MQTT: each thing that can be in it has its own words."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.coordinator import reachability
from agent.coordinator.broker_address import parse_address
from agent.coordinator.messages import Closed, CloseKind
from agent.coordinator.reachability import TlsFiles, reach, reach_all
from tests.unit.coordinator.broker import free_port
from tests.unit.coordinator.certificates import OPENSSL, authority, certificate, revoked
from tests.unit.coordinator.conftest import StartBroker

NO_FILES = TlsFiles()


def failure(url: str, files: TlsFiles = NO_FILES, **options: float) -> Closed:
    why = reach(parse_address(url), files, **options)  # type: ignore[arg-type]
    assert why is not None, "it was reached"
    return why


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port that takes no more connections and refuses none: the kernel drops what comes."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        while True:
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect(("127.0.0.1", port))
            except TimeoutError:
                break
        yield port


def test_a_name_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    why = failure("mqtts://broker.invalid")
    assert why.kind is CloseKind.DNS
    assert "broker.invalid is not known" in why.detail
    assert "host name" in why.remedy


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))
    monkeypatch.setattr(reachability, "NAME_TIMEOUT_S", 0.1)
    why = failure("mqtts://broker.example")
    over.set()
    assert why.kind is CloseKind.DNS
    assert "no name server answers" in why.detail


def test_a_refused_and_a_silent_port() -> None:
    why = failure(f"mqtt://127.0.0.1:{free_port()}")
    assert (why.kind, "refuses" in why.detail, "running" in why.remedy) == (CloseKind.TCP, True, True)
    with full_backlog() as port:
        why = failure(f"mqtt://127.0.0.1:{port}", timeout_s=0.3)
    assert (why.kind, "does not answer" in why.detail, "firewalls" in why.remedy) == (
        CloseKind.TCP,
        True,
        True,
    )


def test_a_port_that_speaks_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        why = failure(f"mqtts://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.3)
        assert "does not answer TLS" in why.detail


def test_all_brokers_are_tried_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        good = parse_address(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        bad = parse_address(f"mqtt://127.0.0.1:{free_port()}")
        tried = reach_all([bad, good], NO_FILES)
    assert [(one.broker, one.failure is None) for one in tried] == [(str(bad), False), (str(good), True)]


def test_what_the_broker_thinks_of_our_certificate(start_broker: StartBroker, tmp_path: Path) -> None:
    if OPENSSL is None:
        pytest.skip("openssl is not installed")
    authority(tmp_path, "root")
    certificate(tmp_path, "good", "root")
    certificate(tmp_path, "unit-1", "root")
    revoked(tmp_path, "unit-1", "root")
    files = (
        f"cafile {tmp_path}/root.pem",
        f"certfile {tmp_path}/good.pem",
        f"keyfile {tmp_path}/good.key",
        "require_certificate true",
    )
    ours = TlsFiles(tmp_path / "root.pem", tmp_path / "unit-1.pem", tmp_path / "unit-1.key")
    taking = start_broker("allow_anonymous true", *files)
    assert reach(parse_address(f"mqtts://127.0.0.1:{taking.port}"), ours) is None
    strict = start_broker("allow_anonymous true", *files, f"crlfile {tmp_path}/crl.pem")
    assert "revoked" in failure(f"mqtts://127.0.0.1:{strict.port}", ours).remedy
    without = failure(f"mqtts://127.0.0.1:{taking.port}", TlsFiles(tmp_path / "root.pem"))
    assert "client_cert" in without.remedy
