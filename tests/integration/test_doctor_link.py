"""`fabunit doctor` with a running daemon whose broker cannot be trusted or does not let it in: what a maker reads.

Everything between unit and broker goes through a listener that keeps the first bytes of each connection: whatever is
wrong, nothing but TLS is ever spoken there.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_runner import fabunit
from tests.integration.first_bytes import FirstBytes
from tests.integration.rig import Rig
from tests.unit.coordinator.broker import MOSQUITTO, Broker
from tests.unit.coordinator.certificates import OPENSSL, authority, certificate, revoked

pytestmark = [
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]
PASSWD = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin")
_TLS_HANDSHAKE = b"\x16\x03"


class Site:
    """Authorities, a broker, the listener in front of it, and a unit that wants to go there."""

    def __init__(self, folder: Path, rig: Rig) -> None:
        self.folder = folder
        self.rig = rig
        self.stack = contextlib.ExitStack()
        for name in ("root", "stranger"):
            authority(folder, name)

    def serve(self, name: str, *lines: str) -> Broker:
        """Start a broker with the certificate `name`, and the listener before it."""
        folder = self.folder / "broker"
        folder.mkdir()
        files = [f"cafile {self.folder}/root.pem", f"certfile {self.folder}/{name}.pem"]
        files.append(f"keyfile {self.folder}/{name}.key")
        access = () if any("password_file" in line for line in lines) else ("allow_anonymous true",)
        broker = Broker(folder, (*access, *files, *lines))
        broker.start()
        self.stack.callback(broker.kill)
        self.listen(broker.port)
        return broker

    def listen(self, target_port: int | None) -> None:
        self.heard = FirstBytes(target_port)
        self.stack.callback(self.heard.close)

    def join(self, *, host: str = "127.0.0.1", **settings: Any) -> None:
        """Start a unit that goes to the listener with TLS."""
        chosen = {
            "url": f"mqtts://{host}:{self.heard.port}",
            "ca_file": str(self.folder / "root.pem"),
            **settings,
        }
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in chosen.items())
        with self.rig.config.open("a") as config:
            config.write(f"[coordinator]\n{lines}")
        self.rig.start_daemon()

    def link(self) -> dict[str, Any]:
        status = self.rig.status()
        return {} if status is None else dict(status["link"])

    def fails(self, *kinds: str) -> None:
        self.rig.until(lambda: self.link().get("kind") in kinds, f"the link fails with {kinds}")

    def diagnosis(self) -> dict[str, dict[str, str]]:
        """What `fabunit doctor` finds, by check; its text is demanded to say the same."""
        arguments = ["doctor", "--quick", "--config", str(self.rig.config), "--socket", str(self.rig.socket)]
        found = fabunit(*arguments, "--json").document()["findings"]
        text = fabunit(*arguments).out
        told = {finding["check"]: finding for finding in found if finding["check"] in ("link", "broker")}
        for finding in told.values():
            assert finding["remedy"] in text or not finding["remedy"]
        return told

    def only_tls_was_spoken(self) -> None:
        assert self.heard.said, "nobody came"
        assert all(said.startswith(_TLS_HANDSHAKE) for said in self.heard.said), self.heard.said
        assert not any(b"MQTT" in said for said in self.heard.said)


@pytest.fixture
def site(tmp_path: Path, rig: Rig) -> Iterator[Site]:
    made = Site(tmp_path, rig)
    with made.stack:
        yield made


BAD = {
    "wrong authority": ("stranger", "127.0.0.1", (-1, 30), "authority this unit does not know", "ca_file"),
    "expired": ("root", "127.0.0.1", (-30, -1), "has expired by this unit's clock", "timedatectl"),
    "not yet valid": ("root", "127.0.0.1", (2, 30), "not valid yet by this unit's clock", "timedatectl"),
    "wrong host name": ("root", "broker.example", (-1, 30), "is not for 127.0.0.1", "host name"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_certificate_that_cannot_be_trusted(site: Site, case: str) -> None:
    issuer, host, days, message, remedy = BAD[case]
    certificate(site.folder, "bad", issuer, host=host, days=days)
    site.serve("bad")
    site.join()
    site.fails("certificate")
    told = site.diagnosis()
    for check in ("link", "broker"):
        assert message in told[check]["message"]
        assert remedy in told[check]["remedy"]
        assert told[check]["level"] == "warning"
    if "clock" in message:
        assert time.strftime("says %Y-", time.gmtime()) in told["broker"]["message"]
    site.only_tls_was_spoken()


def test_a_user_that_was_removed(site: Site) -> None:
    if PASSWD is None:
        pytest.skip("mosquitto_passwd is not installed")
    certificate(site.folder, "good", "root")
    passwords, password = site.folder / "passwords", site.folder / "password"
    for name in ("bench-unit", "other"):
        options = ["-b", str(passwords), name, "right"]
        subprocess.run(
            [PASSWD, *(options if passwords.exists() else ["-c", *options])], check=True, capture_output=True
        )
    passwords.chmod(0o644)
    password.write_text("right\n")
    password.chmod(0o600)
    broker = site.serve("good", f"password_file {passwords}", "allow_anonymous false")
    site.join(username="bench-unit", password_file=str(password))
    site.rig.until(lambda: site.link().get("state") == "online", "the link is up")
    told = site.diagnosis()
    assert (told["link"]["level"], "broker" in told) == ("ok", False), "what works is not tried"
    subprocess.run([PASSWD, "-D", str(passwords), "bench-unit"], check=True, capture_output=True)
    passwords.chmod(0o644)
    assert broker.process is not None
    broker.process.send_signal(signal.SIGHUP)
    broker.kill()
    broker.start()
    site.fails("refused")
    told = site.diagnosis()
    assert "refuses this unit" in told["link"]["message"]
    assert "username, password_file" in told["link"]["remedy"]
    assert told["broker"]["level"] == "ok", "the way there is not what is wrong"
    site.only_tls_was_spoken()


def test_a_client_certificate_that_was_revoked(site: Site) -> None:
    certificate(site.folder, "good", "root")
    certificate(site.folder, "unit", "root")
    revoked(site.folder, "unit", "root")
    site.serve("good", "require_certificate true", f"crlfile {site.folder}/crl.pem")
    files = {"client_cert": str(site.folder / "unit.pem"), "client_key": str(site.folder / "unit.key")}
    site.join(**files)
    site.fails("certificate", "lost")
    told = site.diagnosis()
    assert "revoked" in told["link"]["remedy"], "by the alert, or because the broker just hung up"
    assert "certificate revoked" in told["broker"]["message"]
    assert "get a new one" in told["broker"]["remedy"]
    site.only_tls_was_spoken()


def test_a_broker_without_tls_hears_nothing_in_clear(site: Site) -> None:
    """Nobody answers there at all, and the unit goes on asking for TLS, at this and at the next attempt."""
    site.listen(None)
    other = FirstBytes(None)
    site.stack.callback(other.close)
    site.join(more_urls=[f"mqtts://127.0.0.1:{other.port}"])
    site.rig.until(lambda: bool(site.heard.said and other.said), "both brokers are tried", 60)
    told = site.diagnosis()
    assert "does not answer TLS" in told["broker"]["message"]
    site.only_tls_was_spoken()
    assert all(said.startswith(_TLS_HANDSHAKE) for said in other.said)


def test_a_name_nobody_knows_and_a_port_nobody_listens_on(site: Site) -> None:
    """The doctor works with the daemon down, too, and tells these two apart."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused = f"mqtts://127.0.0.1:{taken.getsockname()[1]}"
        with site.rig.config.open("a") as config:
            config.write(
                f'[coordinator]\nurl = "mqtts://no-such-broker.invalid"\nmore_urls = [{json.dumps(refused)}]\n'
            )
        arguments = ["doctor", "--quick", "--config", str(site.rig.config), "--socket", str(site.rig.socket)]
        found = fabunit(*arguments, "--json").document()["findings"]
    unnamed, closed = (finding for finding in found if finding["check"] == "broker")
    assert "no-such-broker.invalid" in unnamed["message"]
    assert "is not known" in unnamed["message"] or "no name server" in unnamed["message"]
    assert "refuses connections on this port" in closed["message"]
    assert closed["remedy"] == "is the broker running?"
