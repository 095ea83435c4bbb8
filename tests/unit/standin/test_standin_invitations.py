"""Joining: the line a coordinator gives, and its exchange for what a unit needs, over plain HTTP."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.coordinator import joining
from agent.coordinator.invitation import Invitation, parse_invitation
from agent.coordinator.joining import Grant, fingerprint, join
from agent.coordinator.standin.file_server import FileServer
from agent.coordinator.standin.invitations import enter_password, invite, redeem
from agent.coordinator.standin.ledger import Ledger, set_meta
from agent.domain.errors import FabunitError, RefusedError, UsageError

SECRET = "abcdefghijklmnopqrstuvwxyz234567"
SAMPLE = Invitation(
    "mqtts://broker.example:8883", "unit-7f3a", SECRET, "0f" * 32, "http://10.0.0.2:8080/join"
)
# A certificate need not be good to have a fingerprint.
PEM = (
    "-----BEGIN CERTIFICATE-----\n"
    + base64.encodebytes(b"any bytes").decode()
    + "-----END CERTIFICATE-----\n"
)
NOW_S = 1_700_000_000.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "coordinator.db")
    yield opened
    opened.close()


class Desk:
    """The stand-in's file server with a ledger behind it."""

    def __init__(self, db: Path) -> None:
        self.db = db
        self.server = FileServer("127.0.0.1", 0, lambda _: None, self._redeem)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}"

    def _redeem(self, data: bytes) -> bytes | None:
        opened = Ledger(self.db)
        try:
            return redeem(opened, data, NOW_S)
        finally:
            opened.close()


@pytest.fixture
def desk(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("time.time", lambda: NOW_S)
    made = Desk(ledger.path)
    with ledger.transaction() as connection:
        set_meta(connection, "files_url", made.url)
    yield made
    made.server.stop()


def test_the_line_says_it_all() -> None:
    line = SAMPLE.line()
    assert line.startswith("fabunit-join,1,mqtts://broker.example:8883,unit-7f3a,")
    assert set(line) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-,.:/"), (
        "no shell character"
    )
    assert parse_invitation(f"  {line[:40]}\n  {line[40:]}\n") == SAMPLE
    public = replace(SAMPLE, ca_sha256=None)
    assert parse_invitation(public.line()) == public


@given(st.data())
def test_a_line_that_was_not_copied_whole_is_refused(data: st.DataObject) -> None:
    line = SAMPLE.line()
    at = data.draw(st.integers(0, len(line) - 1))
    cut = line[:at] if data.draw(st.booleans()) else line[:at] + line[at + 1 :]
    with pytest.raises(UsageError):
        parse_invitation(cut)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    for candidate in (text, f"fabunit-join,1,{text}"):
        with pytest.raises(UsageError):
            parse_invitation(candidate)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(SAMPLE, url="http://broker"),
        replace(SAMPLE, unit="No Unit"),
        replace(SAMPLE, secret="short"),
        replace(SAMPLE, ca_sha256="zz"),
        replace(SAMPLE, join_url="file:///etc/passwd"),
    ],
)
def test_parts_are_checked(wrong: Invitation) -> None:
    with pytest.raises(UsageError) as caught:
        parse_invitation(wrong.line())
    assert caught.value.code == "bad_invitation"


def test_joining_gives_password_and_authority_once(ledger: Ledger, desk: Desk, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    made = invite(ledger, "mk3s", "mqtts://broker:8883", ca_pem=PEM, passwords=passwords, hours=1)
    assert made.join_url == f"{desk.url}/join"
    grant = join(parse_invitation(made.line()))
    assert grant.username == "mk3s"
    assert grant.ca_pem == PEM
    assert len(grant.password) >= 30
    assert grant.allowed_hosts == ("127.0.0.1",)
    assert passwords.read_text().startswith("mk3s:$7$101$")
    assert grant.password not in passwords.read_text()
    with pytest.raises(RefusedError) as caught:
        join(made)
    assert caught.value.code == "invitation_refused"


def test_who_does_not_know_the_secret_learns_nothing_and_uses_nothing_up(ledger: Ledger, desk: Desk) -> None:
    made = invite(ledger, "mk3s", "mqtt://127.0.0.1", ca_pem="", passwords=None, hours=1)
    for wrong in (replace(made, secret=SECRET), replace(made, unit="other")):
        with pytest.raises(RefusedError):
            join(wrong)
    assert join(made).username == "mk3s"


def test_an_old_invitation_and_one_that_was_replaced_are_void(
    ledger: Ledger, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = invite(ledger, "mk3s", "mqtt://127.0.0.1", ca_pem="", passwords=None, hours=1)
    monkeypatch.setattr("time.time", lambda: NOW_S - 7200)
    invite(ledger, "mini", "mqtt://127.0.0.1", ca_pem="", passwords=None, hours=1)
    second = invite(ledger, "mk3s", "mqtt://127.0.0.1", ca_pem="", passwords=None, hours=3)
    with pytest.raises(RefusedError):
        join(first)
    with pytest.raises(RefusedError):
        join(replace(second, unit="mini"))
    assert join(second).username == "mk3s"


def test_an_authority_other_than_the_named_one_is_refused(ledger: Ledger, desk: Desk) -> None:
    made = invite(ledger, "mk3s", "mqtts://broker", ca_pem=PEM, passwords=None, hours=1)
    assert made.ca_sha256 == fingerprint(PEM)
    with pytest.raises(FabunitError, match="not the one that the invitation names"):
        join(replace(made, ca_sha256="00" * 32))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"unit": 1}', b'{"unit": "../x"}', b"\xff", b'{"unit":"mk3s"}',
                                  b'{"unit":"mk3s","box":"AAAA"}', b'{"unit":"mk3s","box":7}'])  # fmt: skip
def test_hostile_requests_are_refused(ledger: Ledger, desk: Desk, body: bytes) -> None:
    invite(ledger, "mk3s", "mqtt://127.0.0.1", ca_pem="", passwords=None, hours=1)
    assert redeem(ledger, body, NOW_S) is None


def test_without_an_address_nobody_is_invited(ledger: Ledger) -> None:
    with pytest.raises(RefusedError) as caught:
        invite(ledger, "mk3s", "mqtt://127.0.0.1", ca_pem="", passwords=None, hours=1)
    assert caught.value.code == "no_join_address"


class _Liar(BaseHTTPRequestHandler):
    """Answers every request with what the test says."""

    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name http.server gives it
        del format, args


@pytest.mark.parametrize("body", [b"", b"hello", base64.b64encode(b"x" * 200), b"\xff" * 10])
def test_a_server_that_does_not_know_the_secret_is_not_believed(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Liar, "body", body)
    server = HTTPServer(("127.0.0.1", 0), _Liar)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with pytest.raises(FabunitError, match="does not know the invitation's secret"):
            join(replace(SAMPLE, join_url=f"http://127.0.0.1:{server.server_port}/join"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_unreachable_coordinator_keeps_the_invitation_good() -> None:
    with pytest.raises(FabunitError, match="cannot be reached") as caught:
        join(replace(SAMPLE, join_url="http://127.0.0.1:9/join"))
    assert "still good" in caught.value.remedy


@pytest.mark.parametrize(
    "data", [b"[]", b"1", b'{"password": 1}', b'{"trusted_keys": [1]}', b'{"allowed_hosts": "x"}']
)
def test_a_malformed_grant_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Grant.from_json(data)


def test_a_grant_keeps_its_fields() -> None:
    grant = Grant("mk3s", "secret", PEM, ("ed25519 a b",), ("files.example",), require_signature=True)
    assert Grant.from_json(grant.to_json()) == grant
    assert json.loads(grant.to_json())["v"] == 1
    assert len(grant.to_json()) < joining.MAX_MESSAGE_BYTES


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="mosquitto_passwd is not installed here")
def test_the_password_line_has_mosquittos_form(tmp_path: Path) -> None:
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    own.write_text("other:$7$101$AAAA$BBBB\nmk3s:old\n")
    enter_password(own, "mk3s", "word")
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(theirs), "mk3s", "word"], check=True, capture_output=True
    )
    ours = next(line for line in own.read_text().splitlines() if line.startswith("mk3s:"))
    wanted = theirs.read_text().splitlines()[0]
    assert [len(part) for part in ours.split("$")] == [len(part) for part in wanted.split("$")]
    assert ours.split("$")[1:3] == wanted.split("$")[1:3]
    assert own.read_text().startswith("other:")
