from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.domain.artefact import Finding, Layer, Metadata, Prepared
from agent.domain.events import Stamp
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.storage.artefacts import StoredArtefact
from agent.storage.database import Database

PROFILE = "profile-1"


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
