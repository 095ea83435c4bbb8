"""A file that is handed in becomes an artefact and a job, in that order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.domain.errors import FabunitError
from agent.domain.job import JobState
from agent.jobs.intake import Intake
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore


class Request:
    def __init__(self, copies: int = 1) -> None:
        self.name = "../x/part.gcode"
        self.copies = copies
        self.hold = True
        self.material = "PLA"
        self.quality = None
        self.priority = 3
        self.expected_bytes: int | None = None


async def test_intake(queue: Queue, store: ArtefactStore) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"G28\n"

    job = await Intake(queue, store).submit(Request(2), chunks())
    assert (job.name, job.state, job.copies, job.material, job.priority) == (
        "part.gcode",
        JobState.HELD,
        2,
        "PLA",
        3,
    )
    assert store.path(job.artefact_sha256).read_bytes() == b"G28\n"
    reads = []

    async def watched() -> AsyncIterator[bytes]:
        reads.append(1)
        yield b"G28\n"

    with pytest.raises(FabunitError):
        await Intake(queue, store).submit(Request(0), watched())
    assert reads == []
