"""HTTP/1.1 on the wire: what clients do rightly, and what they do otherwise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent.http import connection
from agent.http.request import BodyBrokenError, Request
from agent.http.response import Response
from tests.unit.http.served import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

GET = b"GET /a?x=1&x=2&y= HTTP/1.1\r\nHost: h\r\n\r\n"


async def describe(request: Request) -> Response:
    """Answer what was understood."""
    body = b"".join([chunk async for chunk in request.stream()])
    return Response(f"{request.method} {request.path} {request.query_params} {len(body)}".encode())


async def ignore_body(_request: Request) -> Response:
    """Answer without reading."""
    return Response(b"done")


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with serving(describe) as connect:
        client = await connect()
        for _ in range(3):
            await client.say(GET)
            assert await client.answer() == (200, b"GET /a {'x': '2', 'y': ''} 0")


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    async with serving(describe) as connect:
        client = await connect()
        await client.say(b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + GET)
        assert (await client.answer())[1] == b"POST /b {} 3"
        assert (await client.answer())[1].startswith(b"GET /a")


async def test_a_short_body_nobody_read_does_not_end_the_connection() -> None:
    async with serving(ignore_body) as connect:
        client = await connect()
        for _ in range(2):
            await client.say(b"POST /stop HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
            assert await client.answer() == (200, b"done")


async def test_a_long_body_nobody_reads_still_gets_its_answer() -> None:
    async with serving(ignore_body) as connect:
        client = await connect()
        head = b"POST /stop HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n"
        await client.say(head + bytes(4_000_000))
        assert await client.answer() == (200, b"done")
        assert await client.rest() == b""


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on_only_where_somebody_reads() -> None:
    head = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    async with serving(describe) as connect:
        client = await connect()
        await client.say(head)
        assert (await client.head()).startswith("HTTP/1.1 100 ")
        await client.say(b"abc")
        assert (await client.answer())[1] == b"POST /b {} 3"
    async with serving(ignore_body) as connect:
        client = await connect()
        await client.say(head)
        assert await client.answer() == (200, b"done")


async def test_head_has_the_length_and_no_body() -> None:
    async with serving(ignore_body) as connect:
        client = await connect()
        await client.say(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "content-length: 4" in (await client.head()).lower()
        await client.say(GET)
        assert await client.answer() == (200, b"done")


async def test_an_old_client_is_answered_and_let_go() -> None:
    async with serving(ignore_body) as connect:
        client = await connect()
        await client.say(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.rest()).endswith(b"\r\n\r\ndone")


@pytest.mark.parametrize(
    "data",
    [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 4000],
)  # fmt: skip
async def test_what_is_not_http_is_told_so(data: bytes) -> None:
    async with serving(ignore_body) as connect:
        client = await connect()
        await client.say(data)
        assert int((await client.rest()).split(b" ")[1]) in (400, 431)


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_silence_ends_a_connection(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connection, "IDLE_TIMEOUT_S", 0.02)
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.02)
    async with serving(ignore_body) as connect:
        client = await connect()
        await client.say(sent)
        assert await client.rest() == b""


async def test_a_body_that_breaks_off_is_told_to_the_handler() -> None:
    seen: list[str] = []

    async def read(request: Request) -> Response:
        try:
            return await describe(request)
        except BodyBrokenError as error:
            seen.append(str(error))
            return Response(status=400)

    async with serving(read) as connect:
        for ending in (b"abc", b"zz\r\n"):
            client = await connect()
            kind = b"Content-Length: 9" if ending == b"abc" else b"Transfer-Encoding: chunked"
            await client.say(b"POST / HTTP/1.1\r\nHost: h\r\n" + kind + b"\r\n\r\n" + ending)
            client.writer.write_eof()
            assert b" 400 " in await client.rest()
    assert len(seen) == 2
    assert all(seen)


async def test_a_stream_ends_when_its_reader_leaves_and_the_request_is_over_then() -> None:
    over = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one\n"
            await asyncio.Event().wait()
        finally:
            over.set()

    ended = asyncio.Event()

    async def stream(request: Request) -> Response:
        request.on_end(ended.set)
        return Response(chunks=chunks())

    async with serving(stream) as connect:
        client = await connect()
        await client.say(GET)
        assert "transfer-encoding: chunked" in (await client.head()).lower()
        assert not ended.is_set()
        client.writer.close()
        async with asyncio.timeout(10):
            await over.wait()
            await ended.wait()


async def test_a_reader_that_takes_nothing_stops_the_source_and_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "SEND_TIMEOUT_S", 0.05)
    sent, over = 0, asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        nonlocal sent
        try:
            while True:
                sent += 1
                yield bytes(1 << 20)
        finally:
            over.set()

    async def stream(_request: Request) -> Response:
        return Response(chunks=chunks())

    async with serving(stream) as connect:
        client = await connect()
        await client.say(GET)
        async with asyncio.timeout(10):
            await over.wait()
    assert sent < 64


async def test_connections_beyond_the_limit_are_closed_unheard() -> None:
    async with serving(ignore_body, max_connections=1) as connect:
        first = await connect()
        await first.say(GET)
        assert (await first.answer())[0] == 200
        second = await connect()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await second.head()
        await first.say(GET)
        assert (await first.answer())[0] == 200


async def test_a_handler_that_fails_costs_its_own_connection_alone() -> None:
    async def fail(request: Request) -> Response:
        if request.path == "/a":
            raise ZeroDivisionError
        return Response(b"ok")

    async with serving(fail) as connect:
        broken = await connect()
        await broken.say(GET)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await broken.answer()
        other = await connect()
        await other.say(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await other.answer() == (200, b"ok")
