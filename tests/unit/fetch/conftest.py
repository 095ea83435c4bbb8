from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.coordinator.fetch.allow_list import parse_allow_list
from agent.coordinator.fetch.connection import Dialler, Resolver, resolve
from agent.coordinator.fetch.download import download
from agent.coordinator.fetch.order import FetchOrder
from agent.coordinator.fetch.pace import FetchLimits
from tests.unit.fetch.file_server import FileServer, Handler

DATA = bytes(range(256)) * 800
# Generous, because the machine may be busy: tests of slow servers bring limits of their own.
PATIENT = FetchLimits(min_free_bytes=0)

Serve = Callable[[Handler], FileServer]
MakeOrder = Callable[..., FetchOrder]
Fetch = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[FileServer] = []

    def start(handler: Handler) -> FileServer:
        servers.append(FileServer(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def make_order(tmp_path: Path) -> MakeOrder:
    def make(
        url: str,
        data: bytes = DATA,
        *,
        allowed: tuple[str, ...] = ("127.0.0.1",),
        authorization: str = "",
        limits: FetchLimits = PATIENT,
    ) -> FetchOrder:
        sha256 = hashlib.sha256(data).hexdigest()
        return FetchOrder(
            url=url,
            sha256=sha256,
            size_bytes=len(data),
            part=tmp_path / f"{sha256}.part",
            authorization=authorization,
            allowed=allowed,
            limits=limits,
        )

    return make


@pytest.fixture
def fetch() -> Fetch:
    """Run one attempt in this process; returns the bytes that came over the wire."""

    def run(order: FetchOrder, resolver: Resolver = resolve, ca_file: str = "") -> int:
        dialler = Dialler(parse_allow_list(order.allowed), order.limits, ca_file=ca_file, resolver=resolver)
        return download(order, dialler, lambda _done, _size: None)

    return run
