from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.domain.artefact import Finding, Layer, Metadata, Prepared
from agent.domain.events import Stamp
from agent.jobs.pipeline import Pipeline
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore, StoredArtefact
from agent.storage.database import Database
from tests.unit.jobs.pipeline_bench import PROFILE, FakeGate, FakePrinter, MakePrepared, Running


class SteppedClock:
    """Every stamp is one second after the last."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def stamp(self) -> Stamp:
        self.now_ms += 1000
        return Stamp(self.now_ms, self.now_ms - 1_700_000_000_000, "boot-1")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "fabunit.db")
    yield database
    await database.close()


@pytest.fixture
def limits() -> QueueLimits:
    return QueueLimits(max_jobs=20, max_copies=50, kept_finished=30, kept_files=5)


@pytest.fixture
async def queue(database: Database, limits: QueueLimits) -> Queue:
    queue = Queue(database, SteppedClock(), limits=limits, rng=random.Random(7))
    await queue.open()
    return queue


@pytest.fixture
def stored() -> Callable[[str], StoredArtefact]:
    """Make an artefact named after its content."""

    def make(content: str = "G28\n") -> StoredArtefact:
        data = content.encode()
        return StoredArtefact(hashlib.sha256(data).hexdigest(), len(data), "gcode", "part.gcode")

    return make


@pytest.fixture
def prepared() -> Callable[..., Prepared]:
    """Make what the gate says of a source."""

    def make(
        source_sha256: str,
        *,
        content: bytes = b"G28\n",
        profile: str = PROFILE,
        gate_version: int = 1,
        findings: tuple[Finding, ...] = (),
    ) -> Prepared:
        return Prepared(
            source_sha256=source_sha256,
            profile_digest=profile,
            gate_version=gate_version,
            sha256=hashlib.sha256(content).hexdigest(),
            lines=content.count(b"\n"),
            size=len(content),
            offset_step=1000,
            offsets=(0,),
            times=(0.0, 60.0),
            layers=(Layer(1, 0.2), Layer(2, 0.4)),
            metadata=Metadata(slicer="test", filament_mm=123.0),
            findings=findings,
        )

    return make


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ArtefactStore]:
    store = ArtefactStore(tmp_path, 1_000_000, min_free_bytes=0)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def printer() -> FakePrinter:
    return FakePrinter()


@pytest.fixture
def gate(store: ArtefactStore, prepared: MakePrepared) -> FakeGate:
    return FakeGate(store.prepared_dir, prepared)


@pytest.fixture
def running(queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate) -> Running:
    """Run a pipeline for as long as the `async with` block lasts."""

    @contextlib.asynccontextmanager
    async def run(
        *,
        gate_version: int = 1,
        profile: str = PROFILE,
        is_auto_start: bool = True,
        is_ejecting: bool = False,
    ) -> AsyncIterator[Pipeline]:
        pipeline = Pipeline(
            queue,
            store,
            printer,
            gate,
            profile_digest=profile,
            gate_version=gate_version,
            is_auto_start=is_auto_start,
            is_ejecting=is_ejecting,
        )
        task = asyncio.create_task(pipeline.run())
        try:
            yield pipeline
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return run
