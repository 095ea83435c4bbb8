"""The support bundle: complete, bounded, and without a single planted secret."""

from __future__ import annotations

import asyncio
import base64
import json
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.doctor import subject as subject_of
from agent.cli.session import Session
from agent.domain.errors import StorageError
from agent.domain.events import EventDraft, EventType, Stamp
from agent.ops.bundle import archive as archive_module
from agent.ops.bundle.archive import Archive
from agent.ops.bundle.collection import collect, known_secrets
from agent.ops.bundle.redaction import MARK, Redactor, secret_values
from agent.ops.doctor.examination import Subject, examine
from agent.storage import events
from agent.storage.database import Database

PASSWORD = "tr0ub4dor&3/ä"
API_KEY = "k" * 8 + "9f31c0ffee5eed00"
UNIT_KEY = base64.b64encode(bytes(range(32))).decode()
PEM_LINE = "MC4CAQAwBQYDK2VwBCIEIFakeFakeFakeFakeFakeFakeFakeFakeFakeFake"
PEM = f"-----BEGIN PRIVATE KEY-----\n{PEM_LINE}\n-----END PRIVATE KEY-----\n"
OTHER_PEM = "MC4CAQAwBQYDK2VwBCIEIOtherOtherOtherOtherOtherOtherOtherOther"
URL_PASSWORD = "s3cr3t-in-url"
QUERY = "X-Amz-Signature=abcdef0123456789"
ENVIRONMENT = "environment-held-secret"
TOKEN = "tok_5551234987"
COOKIE = "session=deadbeef01"
CREDENTIAL = "from-systemd-credential"
SECRETS = (
    PASSWORD,
    API_KEY,
    UNIT_KEY,
    PEM_LINE,
    OTHER_PEM,
    URL_PASSWORD,
    QUERY,
    ENVIRONMENT,
    TOKEN,
    COOKIE,
    CREDENTIAL,
)
LEAK = "\n".join(
    [
        f"mqtt connect username=unit password={PASSWORD}",
        f"CONNECT payload {base64.b64encode(PASSWORD.encode()).decode()} {quote(PASSWORD, safe='')}",
        f"http://user:{URL_PASSWORD}@10.0.0.2/part.gcode",
        f"mqtts://unit:p@ss{URL_PASSWORD}@broker:8883 refused",
        f"fetch https://files.example/a.gcode?{QUERY}&x=1",
        f"Authorization: Bearer {TOKEN}",
        f"X-Api-Key: {API_KEY}",
        f"Cookie: {COOKIE}",
        json.dumps({"token": TOKEN, "nested": {"api_key": API_KEY, "note": f"pw {PASSWORD}"}}),
        f"-----BEGIN PRIVATE KEY-----\n{OTHER_PEM}\n-----END PRIVATE KEY-----",
        "T:205.0 /205.0 ok",
    ]
)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    state = tmp_path / "state"
    (state / "logs").mkdir(parents=True)
    (state / "logs" / "fabunit.log").write_text(LEAK + "\nlast line of the log\n")
    (state / "logs" / "fabunit.log.1").write_text(f"{OTHER_PEM}\n-----END PRIVATE KEY-----\nolder\n")
    (state / "unit.key").write_text(UNIT_KEY + "\n")
    (state / "artefacts" / "ab").mkdir(parents=True)
    (state / "artefacts" / "ab" / "abcdef").write_text("G28\n")
    for name, text in (("password", PASSWORD + "\n"), ("api.key", API_KEY), ("client.pem", PEM)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    config = tmp_path / "mk3s.toml"
    config.write_text(
        f'[unit]\nid = "mk3s"\nstate_dir = "{state}"\n'
        f'[coordinator]\nurl = "mqtts://broker.example:8883"\npassword_file = "{tmp_path}/password"\n'
        f'client_cert = "{tmp_path}/cert.pem"\nclient_key = "{tmp_path}/client.pem"\n'
        f'[http]\nlisten = "127.0.0.1:5000"\napi_key_file = "{tmp_path}/api.key"\n'
        f'# old: password = "{PASSWORD}" url = "http://user:{URL_PASSWORD}@host/x?{QUERY}"\n'
    )
    asyncio.run(write_events(state / "fabunit.db"))
    return asked(config, tmp_path)


def asked(config: Path, tmp_path: Path) -> Subject:
    """The subject as the command builds it, with no daemon."""
    found = subject_of(Session(as_json=False, config=config, socket_path=tmp_path / "none.sock"))
    assert found.status is None
    return found


async def write_events(path: Path) -> None:
    database = await Database.open(path)

    def write(connection: Any) -> None:
        for text in (LEAK, "the bed was cleared"):
            events.append(
                connection, EventDraft(EventType.UNIT, text, data={"token": TOKEN}), Stamp(1, 1, "b")
            )

    await database.run(write)
    await database.close()


ENVIRON = {
    "FABUNIT__COORDINATOR__PASSWORD": ENVIRONMENT,
    "FABUNIT__COORDINATOR__URL": f"mqtts://u:{URL_PASSWORD}@b:1",
    "FABUNIT__COORDINATOR__PASSWORD_FILE": "/etc/fabunit/mqtt.password",
    "HOME": "/home/maker",
    "AWS_SECRET_ACCESS_KEY": ENVIRONMENT,
}


def bundle(subject: Subject, path: Path, fetched: dict[str, Any] | None, **options: Any) -> dict[str, bytes]:
    credentials = path.parent / "credentials"
    credentials.mkdir(exist_ok=True)
    (credentials / "mqtt").write_text(CREDENTIAL)
    environ = {**ENVIRON, "CREDENTIALS_DIRECTORY": str(credentials)}

    def run(command: Any) -> str | None:
        return f"{LEAK}\ncredential {CREDENTIAL}" if command[0] == "journalctl" else None

    report = examine(subject, run, with_slicers=False)
    with Archive(path, "support", known_secrets(subject, environ)) as archive:
        collect(archive, subject, report, lambda _: fetched, environ=environ, run=run, **options)
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member)) for member in tar.getmembers()]
        return {name.removeprefix("support/"): file.read() for name, file in members if file is not None}


def test_no_planted_secret_survives_anywhere(subject: Subject, tmp_path: Path) -> None:
    said = {"entries": [{"text": LEAK}, {"text": f"secret: {TOKEN}"}], "password": PASSWORD, "key": UNIT_KEY}
    found = bundle(subject, tmp_path / "out.tar.gz", said)
    for name, content in found.items():
        text = content.decode("utf-8", "replace")
        for secret in SECRETS:
            for spelt in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
                assert spelt not in text, f"{secret} is in {name}"
                assert json.dumps(spelt)[1:-1] not in text, f"{secret} is in {name}"
    assert MARK.encode() in found["daemon/transcript.json"]
    for name in found:
        assert not name.endswith(".json") or json.loads(found[name]) is not None, f"{name} is still JSON"


def test_what_helps_is_still_there(subject: Subject, tmp_path: Path) -> None:
    found = bundle(subject, tmp_path / "out.tar.gz", {"entries": [{"text": "echo:busy: processing"}]})
    assert b"last line of the log" in found["logs/fabunit.log"]
    assert b"older" in found["logs/fabunit.log.1"]
    assert b"T:205.0 /205.0 ok" in found["logs/journal.txt"]
    assert b"the bed was cleared" in found["events.json"]
    assert b"echo:busy: processing" in found["daemon/transcript.json"]
    assert b'id = "mk3s"' in found["config/mk3s.toml"]
    assert f'password_file = "{tmp_path}/password"'.encode() in found["config/mk3s.toml"]
    database = json.loads(found["database.json"])
    assert database["verdict"] == "ok"
    assert database["rows"]["events"] == 2
    assert json.loads(found["doctor.json"])["findings"]
    assert "pydantic" in json.loads(found["versions.json"])["packages"]
    assert (
        json.loads(found["environment.json"])["FABUNIT__COORDINATOR__PASSWORD_FILE"]
        == "/etc/fabunit/mqtt.password"
    )
    assert "HOME" not in json.loads(found["environment.json"])
    assert not [name for name in found if name.startswith("artefacts/")], "only when asked for"
    assert {entry["name"] for entry in json.loads(found["contents.json"])} >= {
        "doctor.json",
        "logs/fabunit.log",
    }


def test_with_the_daemon_down_and_with_artefacts(subject: Subject, tmp_path: Path) -> None:
    found = bundle(subject, tmp_path / "out.tar.gz", None, with_artefacts=True)
    assert not [name for name in found if name.startswith("daemon/")]
    assert found["artefacts/abcdef"] == b"G28\n"
    assert (tmp_path / "out.tar.gz").stat().st_mode & 0o777 == 0o600


def test_without_a_usable_configuration(tmp_path: Path) -> None:
    config = tmp_path / "a.toml"
    config.write_text(f'[coordinator]\npassword = "{PASSWORD}"\n')
    found = bundle(asked(config, tmp_path), tmp_path / "out.tar.gz", None)
    assert "line 2" in found["doctor.json"].decode()
    assert PASSWORD.encode() not in found["config/a.toml"]
    assert b"[coordinator]" in found["config/a.toml"]


def test_the_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MEMBER_BYTES", 1000)
    big = tmp_path / "big"
    big.write_bytes(b"x" * 5000)
    with Archive(tmp_path / "a.tgz", "s", Redactor(), total_bytes=1500) as archive:
        archive.text("one", "a" * 3000 + "end")
        archive.text("two", "b" * 3000 + "end")
        archive.file("three", big)
        archive.file("four", tmp_path / "missing")
    assert [entry["bytes"] for entry in archive.contents] == [1000, 500, 0, 0]
    assert archive.contents[0]["cut"] is True
    assert archive.contents[2]["left_out_bytes"] == 5000
    with tarfile.open(tmp_path / "a.tgz") as tar:
        file = tar.extractfile("s/one")
        assert file is not None
        assert file.read().endswith(b"end"), "the end is kept"


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_text("mine")
    with pytest.raises(StorageError), Archive(tmp_path / "a.tgz", "s", Redactor()):
        pass
    assert (tmp_path / "a.tgz").read_text() == "mine"


def test_a_failed_bundle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Archive(tmp_path / "a.tgz", "s", Redactor()):
        raise RuntimeError
    assert not (tmp_path / "a.tgz").exists()


@pytest.mark.parametrize(
    "text",
    [
        "T:205.0 /205.0 B:60.0 /60.0 @:127",
        "token ring is a network",
        'password_file = "/etc/fabunit/mqtt.password"',
        "require_signature = true",
        '"password": null',
        "see https://example.org/docs and mqtts://broker:8883",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert Redactor().clean(text) == text


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=40))
def test_a_known_secret_is_taken_out_of_any_text(secret: str) -> None:
    redactor = Redactor.knowing([secret])
    told = f"a {secret} b {json.dumps({'x': secret})} c {quote(secret, safe='')}"
    clean = redactor.clean(told)
    assert secret not in clean.replace(MARK, "")
    assert redactor.clean(clean).count(MARK) >= 1


def test_secrets_of_the_environment() -> None:
    found = secret_values(
        {"A_TOKEN": "abcdef", "KEYBOARD": "de", "X_PASSWORD_FILE": "/p", "U": "http://a:bcdef@h"}
    )
    assert found == ["abcdef", "bcdef"]
