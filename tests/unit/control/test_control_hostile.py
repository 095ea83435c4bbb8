"""Bytes no client of ours sends: the server answers with an error document or hangs up, and goes on serving."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.control.body import JSON_LIMIT_BYTES
from agent.http.connection import HEADER_LIMIT_BYTES
from tests.unit.control.fake_unit import printing_unit
from tests.unit.control.served import Served, read_all, serve

if TYPE_CHECKING:
    from collections.abc import Iterator


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Build a request whose length is declared rightly."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status_and_error(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Split an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)["error"]


def is_alive(served: Served) -> bool:
    """Tell whether the server still answers."""
    return bool(served.client().get("/v1/status")["unit"]["id"] == "unit-1")


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b'"x"', b"1", b"nonsense", b"\xff\xfe\x00", b'{"choice": 1', b'{"choice": NaN}',
        b'{"choice": 1e400}', b'{"choice": "\\ud800"}', b"[" * 30_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"choice": ' + b"9" * 5000 + b"}", b"\x00" * 100,
    ],
)  # fmt: skip
def test_bad_json_is_a_usage_error(served: Served, body: bytes) -> None:
    status, error = status_and_error(served.exchange(post("/v1/prompt", body)))
    assert (status, error["code"]) == (400, "usage")
    assert len(error["message"]) < 500
    assert served.unit.printer.calls == []
    assert is_alive(served)


def test_a_json_body_over_the_limit_is_refused_by_its_declared_size(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(
            f"POST /v1/prompt HTTP/1.1\r\nHost: x\r\nContent-Length: {JSON_LIMIT_BYTES + 1}\r\n\r\n".encode()
        )
        status, error = status_and_error(read_all(connection))
    assert (status, error["code"]) == (413, "too_large")
    assert is_alive(served)


def test_a_json_body_over_the_limit_is_refused_by_its_real_size(served: Served) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    request = b"POST /v1/prompt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 3
    status, error = status_and_error(served.exchange(request))
    assert (status, error["code"]) == (413, "too_large")
    assert is_alive(served)


def test_an_endless_upload_is_cut_at_the_limit() -> None:
    unit = printing_unit()
    unit.max_upload_bytes = 200_000
    with serve(unit) as served:
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        request = b"POST /v1/jobs?name=a.gcode HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        status, error = status_and_error(served.exchange(request + chunk * 40))
        assert (status, error["code"]) == (413, "too_large")
        assert unit.intake.received_bytes <= unit.max_upload_bytes
        assert is_alive(served)


def test_an_upload_that_breaks_off_makes_no_job(served: Served) -> None:
    before = list(served.unit.queue.jobs)
    with served.connect() as connection:
        connection.sendall(
            b"POST /v1/jobs?name=a.gcode HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nG28"
        )
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    assert is_alive(served)
    assert served.unit.queue.jobs == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/..", "/v1/jobs/../../etc/passwd", "/v1/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/v1/jobs/%00",
        "/v1/jobs/j-1%0d%0aX: y", "/v1/jobs/%ff%fe", "/v1/jobs/" + "a" * 200, "/v1/jobs/';%20DROP%20TABLE%20jobs%20--",
        "/v1/prints/../receipt", "/v1/prints/%2e%2e/receipt", "/", "//", "/v1", "/v1/", "/v2/status", "/v1/status/",
    ],
)  # fmt: skip
def test_odd_paths_are_not_found(served: Served, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answer = served.exchange(request)
    assert answer.split(b" ")[1] in (b"404", b"400"), answer[:200]
    assert b"passwd" not in answer
    assert is_alive(served)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/stop"), ("DELETE", "/v1/jobs/j-1"), ("PUT", "/v1/jobs"), ("POST", "/v1/status"),
        ("GET", "/v1/jobs/j-1/cancel"), ("BREW", "/v1/bed/clear"), ("OPTIONS", "/v1/printer/heat"),
    ],
)  # fmt: skip
def test_wrong_methods_change_nothing(served: Served, method: str, path: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    status, error = status_and_error(served.exchange(request))
    assert (status, error["code"]) == (405, "method")
    assert served.unit.printer.calls == []
    assert served.unit.queue.calls == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"", b"\r\n\r\n", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/status HTTP/1.1\r\n\r\n", b"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/prompt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/prompt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/prompt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n{}\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (HEADER_LIMIT_BYTES + 1) + b"\r\n\r\n",
        b"GET /v1/jobs\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_hardly_http_does_not_hurt(served: Served, request_bytes: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    assert is_alive(served)


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    """One server for many examples."""
    with serve(printing_unit()) as running:
        yield running


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_any_bytes_as_a_body_are_an_error_or_a_choice(shared: Served, body: bytes) -> None:
    answer = shared.exchange(post("/v1/prompt", body))
    status = int(answer.split(b" ")[1])
    if status == 200:
        assert json.loads(body)["choice"] >= 0
    else:
        assert status_and_error(answer)[0] == 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.text(max_size=40))
def test_only_plain_ascii_lines_reach_the_printer(shared: Served, line: str) -> None:
    shared.unit.printer.calls.clear()
    shared.exchange(post("/v1/console", json.dumps({"line": line}).encode()))
    for _, sent in shared.unit.printer.calls:
        assert sent == line
        assert all(" " <= char <= "~" for char in sent)
