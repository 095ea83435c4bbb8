from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.coordinator.fetch.client import run_fetch
from agent.coordinator.fetch.order import Encryption, FetchOrder
from agent.coordinator.fetch.pace import FetchLimits
from agent.coordinator.fetch.part_file import PartFile
from agent.domain.errors import StorageError
from agent.domain.fetching import FetchError
from tests.unit.fetch.conftest import DATA, PATIENT, MakeOrder, Serve
from tests.unit.fetch.file_server import Request, head, whole


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def children() -> set[int]:
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found


def test_an_order_survives_the_pipe(tmp_path: Path) -> None:
    order = FetchOrder(
        url="https://files.example/x",
        sha256="ab" * 32,
        size_bytes=7,
        part=tmp_path / "x.part",
        authorization="Bearer secret",
        allowed=("files.example",),
        ca_file="/ca.pem",
        limits=FetchLimits(idle_s=3.5),
        encryption=Encryption(bytes(range(32)), 48),
    )
    assert FetchOrder.from_wire(json.loads(json.dumps(order.to_wire()))) == order
    assert "secret" not in repr(order)
    assert str(bytes(range(32))) not in repr(order)


async def test_a_worker_brings_the_file(serve: Serve, make_order: MakeOrder) -> None:
    order = make_order(serve(whole(DATA)).url, limits=PATIENT)
    told: list[tuple[int, int]] = []
    fetched = await run_fetch(order, on_progress=lambda done, size: told.append((done, size)))
    assert fetched.path == order.part
    assert fetched.received_bytes == len(DATA)
    assert hashlib.sha256(order.part.read_bytes()).hexdigest() == order.sha256
    assert told
    assert all(size == len(DATA) for _, size in told)


async def test_errors_come_back_typed(serve: Serve, make_order: MakeOrder) -> None:
    with pytest.raises(FetchError) as caught:
        await run_fetch(make_order(serve(whole(bytes(len(DATA)))).url, limits=PATIENT))
    assert caught.value.code == "hash_mismatch"
    assert caught.value.remedy
    with pytest.raises(StorageError) as full:
        await run_fetch(make_order("http://127.0.0.1:9/x", limits=FetchLimits(min_free_bytes=1 << 60)))
    assert full.value.code == "disk_full"


async def test_a_cancelled_download_leaves_no_process_and_keeps_its_bytes(
    serve: Serve, make_order: MakeOrder
) -> None:
    def stalls(_: Request) -> Iterable[bytes]:
        yield head("200 OK", f"Content-Length: {len(DATA)}")
        yield DATA[:4096]
        server.released.wait(30)

    server = serve(stalls)
    order = make_order(server.url, limits=PATIENT)
    before = children()
    task = asyncio.create_task(run_fetch(order))
    async with asyncio.timeout(20):
        while not (order.part.exists() and order.part.stat().st_size):
            await asyncio.sleep(0.01)
    started = children() - before
    assert started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(is_running(pid) for pid in started)
    assert order.part.read_bytes() == DATA[:4096]


async def test_two_workers_never_write_the_same_part(serve: Serve, make_order: MakeOrder) -> None:
    order = make_order(serve(whole(DATA)).url, limits=PATIENT)
    with PartFile(order.part, order.size_bytes, 0), pytest.raises(FetchError) as caught:
        await run_fetch(order)
    assert caught.value.code == "fetch_busy"
    assert caught.value.is_transient


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.stdin.read(); sys.exit(3)",
        "import sys; print('no JSON')",
        "print('[' * 60000)",
        "print('x' * 100000)",
        "print('{\"fetch_error\": {}}')",
        "print('{\"path\": 7}')",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    ],
)
async def test_a_worker_that_dies_or_babbles_is_tried_again_later(
    make_order: MakeOrder, program: str
) -> None:
    with pytest.raises(FetchError) as caught:
        await run_fetch(make_order("http://127.0.0.1:9/x"), worker=(sys.executable, "-S", "-c", program))
    assert caught.value.code == "fetch_crashed"
    assert caught.value.is_transient


async def test_a_worker_that_hangs_is_killed(make_order: MakeOrder) -> None:
    before = children()
    worker = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
    order = make_order("http://127.0.0.1:9/x", limits=FetchLimits(attempt_s=0.1))
    with pytest.raises(FetchError) as caught:
        await run_fetch(order, worker=worker, grace_s=0.1)
    assert caught.value.code == "timed_out"
    async with asyncio.timeout(10):
        while children() - before:
            await asyncio.sleep(0.01)


async def test_the_worker_sees_nothing_of_the_daemons_environment(
    make_order: MakeOrder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FABUNIT_SECRET", "x")
    monkeypatch.setenv("HTTP_PROXY", "http://evil.example:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/some/ca.pem")
    seen = tmp_path / "environment"
    program = f"import os, json; open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))"
    with pytest.raises(FetchError):
        await run_fetch(make_order("http://127.0.0.1:9/x"), worker=(sys.executable, "-S", "-c", program))
    environment = json.loads(seen.read_text())
    assert environment["SSL_CERT_FILE"] == "/some/ca.pem"
    assert not {"FABUNIT_SECRET", "HTTP_PROXY"} & environment.keys()
    assert "HOME" not in environment
