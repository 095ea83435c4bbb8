"""A file that is handed in becomes an artefact and a job, in that order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.domain.errors import FabunitError, NotFoundError
from agent.domain.job import JobState
from agent.jobs.intake import Intake
from agent.jobs.orders import OrderOptions
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore


class Request:
    def __init__(self, copies: int = 1, name: str = "../x/part.gcode") -> None:
        self.name = name
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


class Layers:
    """Knows PLA only."""

    async def demand_layers(self, options: OrderOptions) -> None:
        if options.material != "PLA":
            raise NotFoundError(f"no material {options.material!r}", code="profile_not_found")


async def test_what_a_mesh_cannot_be_made_of_is_told_before_it_is_read(
    queue: Queue, store: ArtefactStore
) -> None:
    reads = []

    async def chunks() -> AsyncIterator[bytes]:
        reads.append(1)
        yield b"G28\n"

    intake = Intake(queue, store, meshes=Layers())
    order = Request(name="part.STL")
    order.material = "unobtainium"
    with pytest.raises(NotFoundError, match="unobtainium"):
        await intake.submit(order, chunks())
    assert not reads
    assert not await queue.list()
    gcode = Request()
    gcode.material = "unobtainium"
    assert (await intake.submit(gcode, chunks())).material == "unobtainium", (
        "a sliced file asks for no profile"
    )
