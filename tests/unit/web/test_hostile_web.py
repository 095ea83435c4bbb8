"""The listener is open to a network: what strangers and broken programs send."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.control.unit import JobRequest
from agent.control.web import app as web_app
from agent.domain.errors import RefusedError
from agent.domain.job import Job
from agent.storage import faults
from tests.unit.control.fake_unit import FakeIntake, FakeUnit, printing_unit
from tests.unit.web.slicer_requests import CURL_BOUNDARY, prusaslicer_upload
from tests.unit.web.test_slicers import answered
from tests.unit.web.web_bench import KEY, Web, served_web

OPEN = ["/", "/page.css", "/page.js", "/plot.js", "/icon.svg", "/app.webmanifest"]
CLOSED = [
    ("GET", "/v1/status"), ("GET", "/v1/status/stream"), ("GET", "/v1/jobs"), ("POST", "/v1/stop"),
    ("POST", "/v1/print/pause"), ("POST", "/v1/bed/clear"), ("GET", "/v1/jobs/j-1/picture"), ("GET", "/api/version"),
    ("POST", "/api/files/local"), ("GET", "/api/job"), ("POST", "/logout"), ("GET", "/nowhere"),
]  # fmt: skip
NEVER = [
    ("POST", "/v1/console"), ("GET", "/v1/console/tail"), ("POST", "/v1/printer/heat"), ("POST", "/v1/printer/home"),
    ("POST", "/v1/printer/connect"), ("POST", "/v1/jobs"), ("GET", "/v1/logs"), ("GET", "/v1/events"),
    ("GET", "/metrics"), ("POST", "/v1/jobs/j-1/salvage"),
]  # fmt: skip


@pytest.mark.parametrize("path", OPEN)
def test_the_page_itself_says_nothing_about_the_unit(web: Web, path: str) -> None:
    answer = web.ask("GET", path, key=None)
    assert answer.status == 200
    assert b"Workshop" not in answer.body
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_everything_else_needs_the_key(web: Web, method: str, path: str) -> None:
    assert web.ask(method, path, key=None).status == 403
    assert not web.unit.printer.calls


@pytest.mark.parametrize(("method", "path"), NEVER)
def test_what_stays_with_the_control_socket(web: Web, method: str, path: str) -> None:
    answer = web.ask(method, path, b"{}" if method == "POST" else None)
    assert answer.status in (404, 405)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.js/../page.py",
        "//etc/passwd",
        "/page.py",
        "/panel/page.js",
    ],
)
def test_no_way_to_other_files(web: Web, path: str) -> None:
    answer = web.ask("GET", path)
    assert answer.status == 404
    assert b"root:" not in answer.body


def login(web: Web) -> str:
    answer = web.ask("POST", "/login", {"key": KEY}, key=None)
    assert answer.status == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    return cookie.split(";")[0]


def test_a_browser_with_its_cookie(web: Web) -> None:
    cookie = login(web)
    assert web.ask("GET", "/v1/status", key=None, Cookie=cookie).json()["unit"]["name"] == "Workshop MK3S"
    assert web.ask("POST", "/v1/print/pause", key=None, Cookie=cookie).status == 403
    assert (
        web.ask("POST", "/v1/stop", key=None, Cookie=cookie, X_Fabunit="1", Origin="http://evil").status
        == 403
    )
    assert not web.unit.printer.calls
    assert web.ask("POST", "/v1/print/pause", key=None, Cookie=cookie, X_Fabunit="1").status == 200
    assert web.unit.printer.calls == [("pause",)]
    gone = web.ask("POST", "/logout", key=None, Cookie=cookie, X_Fabunit="1").headers["set-cookie"]
    assert "Max-Age=0" in gone


def test_wrong_keys_are_held_up_and_an_error_names_the_wait(web: Web) -> None:
    codes = [web.ask("GET", "/v1/status", key="wrong").status for _ in range(web_app.FAILURE_BURST + 3)]
    assert codes[: web_app.FAILURE_BURST] == [403] * web_app.FAILURE_BURST
    assert codes[-1] == 429
    assert web.ask("POST", "/login", {"key": KEY}, key=None).status == 429
    assert web.ask("GET", "/", key=None).status == 200


def test_too_many_requests_but_a_stop_comes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_app, "REQUEST_BURST", 5)
    monkeypatch.setattr(web_app, "REQUESTS_PER_S", 0.001)
    with served_web(printing_unit(), tmp_path) as web:
        assert [web.ask("GET", "/v1/jobs").status for _ in range(7)][-1] == 429
        assert web.ask("POST", "/v1/stop").status == 200
        assert web.unit.printer.calls == [("stop",)]


def test_too_large_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    unit = printing_unit()
    unit.max_upload_bytes = 1000
    with served_web(unit, tmp_path) as web:
        head = prusaslicer_upload(web.port, KEY, b"x" * 900_000, is_print=True)[:600]
        status, document = answered(web.raw(head))
        assert status == 413
        assert "larger" in document["error"]
        chunked = (
            f"POST /api/files/local HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: multipart/form-data; boundary={CURL_BOUNDARY}\r\n\r\n"
        ).encode()
        part = (
            b"--"
            + CURL_BOUNDARY.encode()
            + b'\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        )
        body = part + b"x" * 400_000
        status, _ = answered(web.raw(chunked + f"{len(body):x}\r\n".encode() + body + b"\r\n"))
        assert status == 413


class FullDisk(FakeIntake):
    """An intake whose disk is full."""

    async def submit(self, request: JobRequest, chunks: AsyncIterator[bytes]) -> Job:
        raise faults.from_os(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Path("/state/artefacts"))


class FullQueue(FakeIntake):
    """An intake with no room for another job."""

    async def submit(self, request: JobRequest, chunks: AsyncIterator[bytes]) -> Job:
        raise RefusedError("1000 jobs wait already", code="queue_full", remedy="remove some")


@pytest.mark.parametrize(("intake", "status"), [(FullDisk, 507), (FullQueue, 503)])
def test_no_room_is_said_to_the_slicer(tmp_path: Path, intake: type[FakeIntake], status: int) -> None:
    unit = printing_unit()
    unit.intake = intake(unit.queue)
    with served_web(unit, tmp_path) as web:
        found, document = answered(web.raw(prusaslicer_upload(web.port, KEY, b"G28\n", is_print=True)))
        assert found == status, "Cura has a sentence of its own for 409, about a file of the same name"
        assert document["error"]


@pytest.mark.parametrize("cut", [-30, -2000])
def test_an_upload_that_ends_early_is_no_job(web: Web, cut: int) -> None:
    whole = prusaslicer_upload(web.port, KEY, b"G1 X1\n" * 1000, is_print=True)
    head, _, body = whole.partition(b"\r\n\r\n")
    short = body[:cut]
    head = b"\r\n".join(
        line if not line.startswith(b"Content-Length") else b"Content-Length: %d" % len(short)
        for line in head.split(b"\r\n")
    )
    before = len(web.unit.queue.jobs)
    status, document = answered(web.raw(head + b"\r\n\r\n" + short))
    assert (status, document["error"]) == (400, "the upload ended in the middle; send it again")
    # The file was whole where only the form's end is missing; such a job waits, held, for a person.
    assert [job.state for job in web.unit.queue.jobs[before:]] in ([], ["received"], ["held"])


def test_a_form_without_a_file_and_no_form_at_all(web: Web) -> None:
    field = 'Content-Disposition: form-data; name="print"\r\n\r\ntrue'
    body = f"--{CURL_BOUNDARY}\r\n{field}\r\n--{CURL_BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={CURL_BOUNDARY}"
    assert web.ask("POST", "/api/files/local", body, Content_Type=kind).json()["code"] == "no_file"
    assert (
        web.ask("POST", "/api/files/local", b"G28", Content_Type="text/plain").json()["code"]
        == "not_multipart"
    )
    big = body.replace(b"true", b"t" * 70_000)
    assert web.ask("POST", "/api/files/local", big, Content_Type=kind).status == 413


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
)
def test_garbage(web: Web, raw: bytes) -> None:
    assert b"200 OK" not in web.raw(raw).partition(b"\r\n")[0]
    assert web.ask("GET", "/api/version").status == 200


def test_the_fakes_know_the_same_upload_limit() -> None:
    assert FakeUnit().facade().max_upload_bytes == 1 << 30
