"""What slicers ask for, and what becomes of their files."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.control.unit import JobRequest
from agent.domain.job import JobState
from agent.domain.printer import PrinterState
from tests.unit.control.fake_unit import FakeUnit, make_job
from tests.unit.web.slicer_requests import cura_upload, prusaslicer_upload, prusaslicer_version
from tests.unit.web.web_bench import KEY, Web, served_web

GCODE = b"; made by a slicer\r\nG28\r\n--a line like a delimiter\r\n" + b"G1 X1\r\n" * 5000


def answered(raw: bytes) -> tuple[int, dict[str, Any]]:
    """Status and document of the last answer in raw bytes; a slicer gets a failure as plain text."""
    head, _, body = raw.rpartition(b"\r\n\r\n")
    last = head.rpartition(b"HTTP/1.1 ")[2]
    is_text = b"content-type: text/plain" in last
    return int(last.split()[0]), {"error": body.decode()} if is_text else json.loads(body)


def last_order(web: Web) -> JobRequest:
    order = [call[1] for call in web.unit.queue.calls if call[0] == "submit"][-1]
    assert isinstance(order, JobRequest)
    return order


def test_prusaslicers_connection_test(web: Web) -> None:
    status, document = answered(web.raw(prusaslicer_version(web.port, KEY)))
    assert status == 200
    assert document["api"]
    assert document["text"].startswith("OctoPrint"), "PrusaSlicer and Orca refuse any other host"
    status, document = answered(web.raw(prusaslicer_version(web.port, "a wrong key")))
    assert status == 403
    assert document["error"] == "this API key is not the unit's; take the key from the unit's key file"


@pytest.mark.parametrize("is_print", [True, False])
def test_prusaslicers_upload(web: Web, is_print: bool) -> None:
    status, document = answered(web.raw(prusaslicer_upload(web.port, KEY, GCODE, is_print=is_print)))
    assert status == 201
    assert document["done"] is True
    assert document["effectivePrint"] is is_print
    job = web.unit.queue.jobs[-1]
    assert job.artefact_sha256 == hashlib.sha256(GCODE).hexdigest()
    assert job.name == "part_0.2mm_PLA_MK3S_12m.gcode"
    assert job.state is (JobState.RECEIVED if is_print else JobState.HELD), (
        "without print it waits for a person"
    )
    assert not [call for call in web.unit.queue.calls if call[0] in ("start", "release")], "it takes its turn"


@pytest.mark.parametrize("is_print", [True, False])
def test_curas_upload_with_its_flags_behind_the_file(web: Web, is_print: bool) -> None:
    status, document = answered(web.raw(cura_upload(web.port, KEY, GCODE, is_print=is_print)))
    assert status == 201
    assert document["effectivePrint"] is is_print
    assert last_order(web).hold is True, "held until the form is over"
    assert web.unit.queue.jobs[-1].artefact_sha256 == hashlib.sha256(GCODE).hexdigest()
    released = [call for call in web.unit.queue.calls if call[0] == "release"]
    assert len(released) == int(is_print)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_libcurl_itself_as_prusaslicer_uses_it(web: Web, tmp_path: Path) -> None:
    part = tmp_path / "part.gcode"
    part.write_bytes(GCODE * 60)  # above a megabyte: libcurl asks before it sends
    url = f"http://127.0.0.1:{web.port}/api/files/local"
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "-H",
            f"X-Api-Key: {KEY}",
            "-F",
            "print=true",
            "-F",
            "path=",
            "-F",
            f"file=@{part};filename=näm e.gcode;type=application/octet-stream",
            url,
        ],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert json.loads(done.stdout)["files"]["local"]["name"] == "näm e.gcode"
    assert web.unit.queue.jobs[-1].artefact_sha256 == hashlib.sha256(GCODE * 60).hexdigest()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\\\..\\\\x.gcode", "x.gcode"),
        ("/abs/olute.gcode", "olute.gcode"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("a\x1b[2Jb.gcode", "a[2Jb.gcode"),
    ],
)
def test_names_are_never_paths(web: Web, sent: str, shown: str) -> None:
    status, document = answered(
        web.raw(prusaslicer_upload(web.port, KEY, GCODE, is_print=True, path="../..", name=sent))
    )
    assert status == 201
    assert document["files"]["local"]["name"] == shown
    assert last_order(web).name == shown


def test_what_curas_monitor_asks_for(web: Web) -> None:
    printer = web.ask("GET", "/api/printer?apikey=x").json()
    assert printer["temperature"]["tool0"] == {"actual": 214.8, "target": 215.0, "offset": 0}
    assert printer["temperature"]["bed"]["target"] == 60.0
    assert printer["state"]["flags"]["printing"] is True
    assert printer["state"]["flags"]["error"] is False
    job = web.ask("GET", "/api/job").json()
    assert job["job"]["file"]["name"] == "bracket.gcode"
    assert job["progress"]["completion"] == 42.13
    assert job["progress"]["printTimeLeft"] == 3120
    assert job["state"] == "Printing"
    assert web.ask("GET", "/api/settings").json()["feature"]["sdSupport"] is False
    assert web.ask("GET", "/api/printerprofiles").json()["profiles"]["_default"]["current"] is True
    assert web.ask("GET", "/api/connection").json()["current"]["state"] == "Printing"
    assert web.ask("POST", "/api/login", {"passive": True}).json()["name"] == "fabunit"
    assert web.ask("GET", "/api/files").json()["files"][0]["name"] == "bracket.gcode"


def test_a_printer_that_is_away_is_a_conflict(tmp_path: Path) -> None:
    with served_web(FakeUnit(), tmp_path) as web:
        assert web.ask("GET", "/api/printer").status == 409
        assert web.ask("GET", "/api/job").json()["state"] == "Offline"
        assert web.ask("POST", "/api/connection", {"command": "connect", "port": "/dev/evil"}).status == 204
        assert web.unit.printer.calls == [("connect", None)], "a port named from outside is not taken"


def test_pause_resume_cancel(web: Web) -> None:
    assert web.ask("POST", "/api/job", {"command": "pause", "action": "pause"}).status == 204
    assert web.ask("POST", "/api/job", {"command": "pause", "action": "toggle"}).status == 204
    assert web.ask("POST", "/api/job", {"command": "cancel"}).status == 204
    assert web.unit.printer.calls == [("pause",), ("resume",)]
    assert ("cancel", "j-1") in web.unit.queue.calls


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/job", {"command": "start"}, 409),
        ("/api/job", {"command": "fly"}, 400),
        ("/api/connection", {"command": "disconnect"}, 409),
        ("/api/printer/command", {"commands": ["M502"]}, 409),
        ("/api/printer/tool", {"command": "target", "targets": {"tool0": 300}}, 409),
        ("/api/files/sdcard", {}, 409),
    ],
)
def test_nothing_goes_around_the_queue_and_the_rules(web: Web, path: str, body: Any, status: int) -> None:
    answer = web.ask("POST", path, body)
    assert answer.status == status
    assert answer.json()["error"]
    assert not web.unit.printer.calls


def test_a_waiting_file_is_let_go(web: Web) -> None:
    name = "lid%20with%20a%20rather%20long%20name%20for%20a%20file.gcode"
    assert web.ask("GET", f"/api/files/local/{name}").json()["fabunit"]["job_id"] == "j-3"
    assert web.ask("POST", f"/api/files/local/{name}", {"command": "select", "print": True}).status == 204
    assert ("release", "j-3") in web.unit.queue.calls
    assert web.ask("GET", "/api/files/local/..%2f..%2fetc%2fpasswd").status == 404


def test_states_have_octoprints_words(web: Web) -> None:
    for state in PrinterState:
        web.unit.printer.view = replace(web.unit.printer.view, state=state)
        assert web.ask("GET", "/api/job").json()["state"]
        assert web.ask("GET", "/api/printer").status in (200, 409)
    web.unit.queue.jobs = [make_job("j-9")]
    assert web.ask("GET", "/api/job").json()["job"]["file"]["name"] is None
