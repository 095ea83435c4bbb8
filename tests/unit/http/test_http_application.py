"""Paths to endpoints, failures to answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from agent.domain.errors import FabunitError, UsageError
from agent.http.application import Application, Route
from agent.http.request import Request
from agent.http.response import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def no_body() -> AsyncIterator[bytes]:
    """The body of a GET."""
    for _ in range(0):
        yield b""


def request(method: str, target: str) -> Request:
    return Request(method, target, [(b"X-A", b"1"), (b"x-a", b"2")], body=no_body)


async def echo(asked: Request) -> Response:
    return Response(repr(asked.path_params).encode())


async def refuse(_asked: Request) -> Response:
    raise UsageError("no")


async def break_down(_asked: Request) -> Response:
    raise ZeroDivisionError


def told(_asked: Request, error: FabunitError) -> Response:
    return Response(f"{error.code}: {error.message} ({error.remedy})".encode(), error.http_status)


APP = Application(
    [
        Route("/jobs", echo),
        Route("/jobs", refuse, methods=("POST",)),
        Route("/jobs/{id}", echo),
        Route("/jobs/{id}/x.y", echo, methods=("POST",)),
        Route("/files/{name:path}", echo),
        Route("/broken", break_down),
    ],
    told,
    manual="the manual",
)


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "/jobs", 200, "{}"),
        ("HEAD", "/jobs", 200, "{}"),
        ("POST", "/jobs", 400, "usage: no ()"),
        (
            "DELETE",
            "/jobs",
            405,
            "method: DELETE is not possible on this path, only GET, POST (see the manual)",
        ),
        ("GET", "/jobs/a%20b", 200, "{'id': 'a b'}"),
        ("GET", "/jobs/a/b", 404, "not_found: there is no such path here (see the manual)"),
        ("GET", "/jobs/", 404, "not_found: there is no such path here (see the manual)"),
        ("POST", "/jobs/1/x.y", 200, "{'id': '1'}"),
        ("POST", "/jobs/1/xzy", 404, "not_found: there is no such path here (see the manual)"),
        ("GET", "/files/a/b%0Ac", 200, "{'name': 'a/b\\nc'}"),
    ],
)
async def test_routes(method: str, target: str, status: int, body: str) -> None:
    response = await APP(request(method, target))
    assert (response.status, response.body.decode()) == (status, body)


async def test_a_fault_is_logged_and_answered_without_its_insides() -> None:
    with structlog.testing.capture_logs() as logged:
        response = await APP(request("GET", "/broken"))
    assert response.status == 500
    assert response.body == b"internal: the daemon failed on this request (see `fabunit logs` for the cause)"
    assert [(entry["event"], entry["path"]) for entry in logged] == [("request failed", "/broken")]


def test_of_a_header_that_comes_twice_the_first_counts() -> None:
    assert request("GET", "/").headers == {"x-a": "1"}


def test_a_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    response = Response()
    response.set_cookie("name", "value", max_age_s=60)
    assert response.headers["set-cookie"] == "name=value; Max-Age=60; Path=/; HttpOnly; SameSite=Strict"
