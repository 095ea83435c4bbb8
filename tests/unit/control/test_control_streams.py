"""Streams: documents as they happen, bounded in number, ended with the server; and how the server runs and stops."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.control import api
from agent.control.client import ControlClient
from agent.control.listener import ListenError
from agent.control.server import ControlServer
from agent.control.streams import MAX_STREAMS
from agent.domain.errors import FabunitError, RefusedError
from agent.http import connection as http_connection
from agent.http.server import STOP_BUDGET_S
from tests.unit.control.fake_unit import FakeUnit, printing_unit
from tests.unit.control.served import DEADLINE_S, Served, serve
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


def collect(stream: Iterator[dict[str, Any]], into: list[dict[str, Any]]) -> threading.Thread:
    """Read a stream in a thread until it ends."""
    thread = threading.Thread(target=lambda: into.extend(stream))
    thread.start()
    return thread


def test_the_status_stream_has_curves_first_and_then_only_now_and_then(served: Served) -> None:
    stream = served.client().stream("/v1/status/stream", interval=0.1)
    documents = [next(stream) for _ in range(3)]
    assert ["samples" in document for document in documents] == [True, False, False]
    curve = documents[0]["samples"]["T0"]
    assert 60 <= len(curve) <= 120
    ages = [point[0] for point in curve]
    assert ages == sorted(ages, reverse=True)
    assert ages[-1] < 60, "the newest sample is kept"
    assert all(document["printer"]["state"] == "printing" for document in documents)


def test_the_watching_client_keeps_the_curves(served: Served) -> None:
    stream = served.client().watch_status(0.1)
    first, second = next(stream), next(stream)
    assert first["samples"] == second["samples"] != {}


@pytest.mark.parametrize("interval", ["0", "61", "x", "-1", "1e1", "nan"])
def test_the_interval_has_bounds(served: Served, interval: str) -> None:
    with pytest.raises(FabunitError, match="interval must be a number from"):
        next(served.client().stream("/v1/status/stream", interval=interval))


def test_the_console_streams_what_is_said(served: Served) -> None:
    stream = served.client().stream("/v1/console/stream")
    for text in ("ok", "echo:busy"):
        served.in_loop(lambda text=text: served.unit.printer.say(text))  # type: ignore[misc]
    assert [next(stream)["text"] for _ in range(2)] == ["ok", "echo:busy"]


def test_logs_stream_the_tail_and_then_what_comes(served: Served) -> None:
    ring = served.unit.ring
    for number in range(3):
        ring.append({"t_ms": number, "level": "info", "event": f"old{number}"})
    stream = served.client().stream("/v1/logs/stream", n=2)
    assert [next(stream)["event"] for _ in range(2)] == ["old1", "old2"]
    ring.append({"t_ms": 9, "level": "info", "event": "new"})
    assert next(stream)["event"] == "new"


def test_all_streams_end_when_the_server_stops() -> None:
    with serve(printing_unit()) as served:
        served.unit.ring.append({"t_ms": 1, "level": "info", "event": "e"})
        client = served.client()
        streams = [
            client.stream("/v1/status/stream", interval=30),
            client.stream("/v1/console/stream"),
            client.stream("/v1/logs/stream", n=1),
        ]
        served.in_loop(lambda: served.unit.printer.say("hello"))
        for stream in streams:
            next(stream)
        threads = [collect(stream, []) for stream in streams]
        began = time.monotonic()
        served.in_loop(served.server.stop)
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        assert time.monotonic() - began < STOP_BUDGET_S + 1


def test_streams_are_bounded_and_a_closed_one_makes_room(served: Served) -> None:
    streams = [served.client().stream("/v1/status/stream", interval=0.1) for _ in range(MAX_STREAMS)]
    for stream in streams:
        next(stream)
    with pytest.raises(FabunitError) as caught:
        next(served.client().stream("/v1/status/stream"))
    assert caught.value.code == "too_many_streams"
    assert served.client().get("/v1/status")["bed"] == "occupied", "only streams are bounded"
    streams[0].close()  # type: ignore[attr-defined]

    def has_room() -> bool:
        try:
            next(served.client().stream("/v1/status/stream"))
        except FabunitError:
            return False
        return True

    until(has_room)
    for stream in streams:
        stream.close()  # type: ignore[attr-defined]


def test_a_failure_in_the_middle_of_a_stream_reaches_the_reader(served: Served) -> None:
    stream = served.client().stream("/v1/status/stream", interval=0.1)
    next(stream)

    async def refuse(*, include_over: bool) -> list[Any]:
        raise RefusedError(f"no jobs today ({include_over})", code="closed", remedy="come back tomorrow")

    served.in_loop(lambda: setattr(served.unit.queue, "list", refuse))
    with pytest.raises(FabunitError) as caught:
        list(stream)
    assert (caught.value.code, caught.value.remedy) == ("closed", "come back tomorrow")


def test_an_emergency_stop_passes_a_crowd_that_waits_for_the_database(served: Served) -> None:
    gate = served.in_loop(asyncio.Event)
    served.unit.queue.gate = gate
    crowd = [served.connect() for _ in range(api.MAX_REQUESTS)]
    for connection in crowd:
        connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n")

    def is_full() -> bool:
        try:
            served.client().get("/v1/printer")
        except FabunitError as error:
            return error.code == "busy"
        return False

    until(is_full)
    began = time.monotonic()
    assert served.client().post("/v1/stop")["state"] == "halted"
    assert time.monotonic() - began < 0.5
    served.in_loop(gate.set)
    for connection in crowd:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_a_connection_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "IDLE_TIMEOUT_S", 0.05)
    with serve(printing_unit()) as served, served.connect() as silent:
        assert silent.recv(1) == b""


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_CONNECTIONS", 2)
    with serve(printing_unit()) as served, served.connect(), served.connect():
        until(lambda: _is_turned_away(served))
    with serve(printing_unit()) as served, served.connect():
        assert not _is_turned_away(served)


def _is_turned_away(served: Served) -> bool:
    with served.connect() as third:
        try:
            third.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return third.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            return True


async def test_a_cancelled_run_cleans_up_and_can_run_again() -> None:
    with tempfile.TemporaryDirectory(prefix="fab") as directory:
        path = Path(directory) / "f.sock"
        server = ControlServer(FakeUnit().facade(), path)
        for _ in range(2):
            running = asyncio.create_task(server.run())
            await asyncio.wait_for(server.wait_listening(), DEADLINE_S)
            document = await asyncio.to_thread(ControlClient(path).get, "/v1/status")
            assert document["printer"]["state"] == "offline"
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            assert not path.exists()


async def test_a_second_server_on_the_same_socket_is_refused() -> None:
    with tempfile.TemporaryDirectory(prefix="fab") as directory:
        path = Path(directory) / "f.sock"
        first = ControlServer(FakeUnit().facade(), path)
        running = asyncio.create_task(first.run())
        await asyncio.wait_for(first.wait_listening(), DEADLINE_S)
        with pytest.raises(ListenError, match="another daemon"):
            await ControlServer(FakeUnit().facade(), path).run()
        first.stop()
        await asyncio.wait_for(running, DEADLINE_S)
