from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent.coordinator.fetch.pace import FetchLimits
from agent.domain.fetching import FetchError
from tests.unit.fetch.conftest import DATA, Fetch, MakeOrder
from tests.unit.fetch.file_server import FileServer, Handler, redirect, whole

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl command makes the certificates"
)

ServeTls = Callable[[Handler], FileServer]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for files.example, with its key, and another authority."""
    folder = tmp_path_factory.mktemp("tls")
    for name, host in (("server", "files.example"), ("other", "other.example")):
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ]
        command += ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={host}"]
        command += ["-addext", f"subjectAltName=DNS:{host}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def serve_tls(certificates: Path) -> Iterator[ServeTls]:
    servers: list[FileServer] = []

    def start(handler: Handler) -> FileServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        servers.append(FileServer(handler, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def local(host: str, port: int) -> tuple[object, ...]:
    return (ip_address("127.0.0.1"),)


def test_the_certificate_is_that_of_the_name_not_of_the_address(
    serve_tls: ServeTls, make_order: MakeOrder, fetch: Fetch, certificates: Path
) -> None:
    server = serve_tls(whole(DATA))
    order = make_order(f"https://files.example:{server.port}/x")
    assert fetch(order, local, str(certificates / "server.pem")) == len(DATA)


@pytest.mark.parametrize(
    "told", [("files.example", "other.pem"), ("nas.example", "server.pem"), ("files.example", "")]
)
def test_untrusted_certificates_are_refused(
    serve_tls: ServeTls, make_order: MakeOrder, fetch: Fetch, certificates: Path, told: tuple[str, str]
) -> None:
    host, ca = told
    server = serve_tls(whole(DATA))
    with pytest.raises(FetchError) as caught:
        fetch(make_order(f"https://{host}:{server.port}/x"), local, str(certificates / ca) if ca else "")
    assert caught.value.code == "tls_failed"
    assert caught.value.is_transient
    assert not server.requests


def test_a_redirect_from_https_to_http_is_refused(
    serve_tls: ServeTls, make_order: MakeOrder, fetch: Fetch, certificates: Path
) -> None:
    plain = FileServer(whole(DATA))
    try:
        server = serve_tls(redirect(plain.url))
        with pytest.raises(FetchError) as caught:
            fetch(
                make_order(f"https://files.example:{server.port}/x"), local, str(certificates / "server.pem")
            )
        assert caught.value.code == "redirect_refused"
        assert not plain.requests
    finally:
        plain.close()


def test_a_handshake_that_trickles_is_cut_off(make_order: MakeOrder, fetch: Fetch) -> None:
    released = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")  # a ServerHello of 16 KiB
            while not released.wait(0.02):
                connection.sendall(b"\x00")

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    try:
        order = make_order(
            f"https://files.example:{listener.getsockname()[1]}/x",
            limits=FetchLimits(connect_s=0.5, min_free_bytes=0),
        )
        with pytest.raises(FetchError) as caught:
            fetch(order, local)
    finally:
        released.set()
        thread.join(5)
        listener.close()
    assert caught.value.code == "unreachable"
    assert "TLS" in caught.value.message
