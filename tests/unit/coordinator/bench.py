"""The whole coordinator side on a real database, with a fake printer and a fake or real network."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.coordinator.coordinator import Coordinator, UnitParts
from agent.coordinator.documents import Answer, parse_answer, parse_batch
from agent.coordinator.topics import Topics
from agent.coordinator_settings import CoordinatorSettings
from agent.domain.job import Job
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.paths import profiles_dirs
from agent.storage.artefacts import ArtefactStore
from agent.storage.database import Database
from tests.unit.coordinator.fakes import FakeClock, FakeNetwork, FakePrinter

UNIT = "unit-1"
TOPICS = Topics(UNIT)
PROFILE = PrinterProfile(
    name="generic-220",
    title="Generic",
    digest="d",
    volume_mm=(220.0, 220.0, 250.0),
    nozzle_mm=0.4,
    extruders=1,
    hotend=HeaterLimits(260.0),
    bed=HeaterLimits(100.0),
    chamber=None,
)
WAIT_S = 10.0


async def until(condition: Callable[[], object], what: str = "", within_s: float = WAIT_S) -> None:
    """Return when the condition holds; fail after the deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not condition():
        assert loop.time() < deadline, what or "the condition did not come true"
        await asyncio.sleep(0.005)


def job_content(job_id: str = "order-1", rev: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a job document with an inline file of three bytes."""
    data = b"G28\n"
    artefact = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "format": "gcode",
        "inline": base64.b64encode(data).decode(),
        "name": "part.gcode",
    }
    return {"v": 1, "job_id": job_id, "rev": rev, "unit": UNIT, "artefact": artefact, **fields}


def job_payload(job_id: str = "order-1", rev: int = 1, **fields: Any) -> bytes:
    return json.dumps(job_content(job_id, rev, **fields)).encode()


def command_payload(command: str, cmd_id: str = "c1", **fields: Any) -> bytes:
    return json.dumps({"v": 1, "cmd_id": cmd_id, "command": command, **fields}).encode()


@dataclass(slots=True)
class Bench:
    """Everything a test of the link needs."""

    folder: Path
    clock: FakeClock
    printer: FakePrinter
    database: Database
    queue: Queue
    network: FakeNetwork
    coordinator: Coordinator
    started: list[str] = field(default_factory=list)
    running: asyncio.Task[None] | None = None

    async def online(self) -> None:
        """Run the link until it is online."""
        self.running = asyncio.create_task(self.coordinator.run())
        await until(self.is_online, "the link did not come online")

    def is_online(self) -> bool:
        assert self.running is not None
        if self.running.done():
            self.running.result()
        return (self.coordinator.status() or {}).get("state") == "online"

    async def end(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            self.running = None

    def answers(self) -> list[Answer]:
        return [
            parse_answer(message.payload, message.content_type)
            for client in self.network.clients
            for message in client.on(TOPICS.results)
        ]

    def records(self) -> list[dict[str, Any]]:
        return [
            record.model_dump()
            for client in self.network.clients
            for message in client.on(TOPICS.events)
            for record in parse_batch(message.payload, message.content_type).records
        ]

    async def job(self, payload: bytes, **properties: object) -> Answer:
        """Deliver a job document and return the answer to it."""
        before = len(self.answers())
        ack = self.network.last.deliver(TOPICS.jobs, payload, **properties)
        await until(lambda: ack in self.network.last.acked, "the order was not acknowledged")
        await until(lambda: len(self.answers()) > before, "the order was not answered")
        return self.answers()[before]

    async def command(self, payload: bytes, **properties: object) -> list[Answer]:
        """Deliver a command and return its answers, up to the one that ends it."""
        before = len(self.answers())
        self.network.last.deliver(TOPICS.commands, payload, **properties)
        await until(
            lambda: any(answer.status.value != "accepted" for answer in self.answers()[before:]),
            "the command was not answered",
        )
        return self.answers()[before:]


@asynccontextmanager
async def bench(
    folder: Path, *, real: bool = False, formats: tuple[str, ...] = ("gcode",), **settings: Any
) -> AsyncIterator[Bench]:
    """Yield a bench on the state in `folder`; `settings` are those of `[coordinator]`; `real`: its own network."""
    clock, printer, network = FakeClock(), FakePrinter(), FakeNetwork()
    database = await Database.open(folder / "fabunit.db")
    queue = Queue(database, clock)
    await queue.open()
    store = ArtefactStore(folder, 1 << 20, min_free_bytes=0)
    await store.open()
    started: list[str] = []

    async def start_job(job_id: str) -> Job:
        started.append(job_id)
        return await queue.get(job_id)

    parts = UnitParts(
        unit=UNIT,
        name="Test",
        version="0",
        state_dir=folder,
        profile=PROFILE,
        database=database,
        queue=queue,
        store=store,
        clock=clock,
        printer=printer,
        start_job=start_job,
        warnings=list,
        limits=QueueLimits(max_jobs=50),
        max_artefact_bytes=1 << 30,
        formats=formats,
        profile_dirs=tuple(profiles_dirs()),
    )
    chosen = CoordinatorSettings(**{"url": "mqtt://127.0.0.1:1", **settings})
    coordinator = Coordinator(chosen, parts, None if real else network.dial)
    await coordinator.open()
    made = Bench(folder, clock, printer, database, queue, network, coordinator, started)
    try:
        yield made
    finally:
        await made.end()
        await coordinator.close()
        await store.close()
        await database.close()
