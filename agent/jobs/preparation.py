"""From a file to a job that is ready: gives every waiting job to the stage of its state, in two lanes (P13)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from agent.domain.artefact import Prepared
from agent.domain.job import Job, JobState
from agent.jobs.machine import Trigger
from agent.jobs.mesh_formats import MESH_FORMATS, is_mesh
from agent.jobs.meshes import Meshes
from agent.jobs.queue import References
from agent.jobs.stages.fetch import FetchStage
from agent.jobs.stages.verify import Gate, Gatehouse, VerifyStage

if TYPE_CHECKING:
    from agent.jobs.stages.mesh import Preparing

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lane:
    """Jobs that are worked on one after the other, told by the formats of their files (see `next_to_prepare`)."""

    name: str
    formats: AbstractSet[str] = frozenset()
    other_formats: AbstractSet[str] = frozenset()


ONE_LANE = (Lane("all"),)
TWO_LANES = (Lane("gcode", other_formats=MESH_FORMATS), Lane("meshes", formats=MESH_FORMATS))
"""A mesh takes minutes and hundreds of MiB, G-code seconds and tens: no file that could be printed waits for a slice,
and never do two heavy workers run."""


class Preparation:
    """Runs check, slice and gate; event loop only.

    Which stage a job needs is read from the database alone: a restart goes on where the last daemon was killed.
    `fetch` takes jobs over whose file has to be fetched first; without `meshes` a mesh goes to the gate, which
    refuses it.
    """

    def __init__(
        self, house: Gatehouse, *, meshes: Meshes | None = None, fetch: FetchStage | None = None
    ) -> None:
        self._queue = house.queue
        self._store = house.store
        self._shelf = house.shelf
        self._profile_digest = house.profile_digest
        self._meshes = meshes
        self._fetch = fetch
        turns = self._in_turns(house.gate)
        self._verify = VerifyStage(
            replace(house, gate=meshes.gate(turns) if meshes is not None else turns),
            make_room=lambda: self._make_room(own_verifications=1),
        )
        if fetch is not None:
            fetch.connect(self._onward, self._make_room)
        # A gate writes into the shelf, or the shelf is swept.
        self._shelf_turn = asyncio.Lock()
        self._verifications = 0
        self._swept: References | None = None
        self._swept_version = -1

    @property
    def preparing(self) -> Preparing | None:
        """What is being done to a mesh right now."""
        return self._meshes.preparing if self._meshes is not None else None

    async def run(self) -> None:
        """Run until cancelled. Raises StorageError (in an ExceptionGroup) when the database fails."""
        async with asyncio.TaskGroup() as tasks:
            for lane in ONE_LANE if self._meshes is None else TWO_LANES:
                tasks.create_task(self._work(lane), name=f"prepare {lane.name}")

    async def _work(self, lane: Lane) -> None:
        meshes = self._meshes if lane.formats else None
        while True:
            version = self._queue.version
            await self._sweep_once(version)
            besides = meshes.postponed() if meshes is not None else frozenset()
            job = await self._queue.next_to_prepare(
                self._profile_digest,
                besides=besides,
                formats=lane.formats,
                other_formats=lane.other_formats,
            )
            if job is None:
                await self._wait_changed(version, meshes.wait_s() if meshes is not None else None)
            elif self._fetch is None or not await self._fetch.claim(job):
                await self._prepare(job)

    async def _prepare(self, job: Job) -> None:
        if self._meshes is not None and is_mesh(job) and job.state is not JobState.VERIFYING:
            await self._meshes.run(job, self._queue, self._store.path, self._make_room)
            return
        self._verifications += 1
        try:
            await self._verify.run(job)
        finally:
            self._verifications -= 1

    def _in_turns(self, gate: Gate) -> Gate:
        """Return a gate that runs once at a time, on a shelf without leftovers."""

        async def judged(job: Job, path: Path) -> Prepared:
            async with self._shelf_turn:
                # A check that was stopped by a hold was killed in the middle of its writing.
                await self._shelf.remove_leftovers()
                return await gate(job, path)

        return judged

    def _onward(self, job: Job) -> Trigger:
        """Name the event that leads a job whose file has just arrived to its next state."""
        return Trigger.CHECK_BEGAN if self._meshes is not None and is_mesh(job) else Trigger.VERIFY_BEGAN

    async def _wait_changed(self, version: int, timeout_s: float | None) -> None:
        """Wait for news of the queue, or until a postponed job is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._queue.wait_changed(version)

    # Room on the disk

    async def _sweep_once(self, version: int) -> None:
        """Delete files no job needs, once for each change of the queue."""
        if version != self._swept_version:
            self._swept_version = version
            await self._sweep()

    async def _make_room(self, *, own_verifications: int = 0) -> None:
        """Delete also the files of jobs that are over; `own_verifications`: how many of those under way ask."""
        await self._sweep(kept_files=0, own_verifications=own_verifications)

    async def _sweep(self, *, kept_files: int | None = None, own_verifications: int = 0) -> None:
        """Delete files no job needs; prepared ones only while no gate runs: its new file has no job yet."""
        needed = await self._queue.references(kept_files=kept_files)
        if needed == self._swept:
            return
        freed = await self._store.collect(needed.artefacts)
        if not self._shelf_turn.locked() and self._verifications == own_verifications:
            async with self._shelf_turn:
                # What was verified since the first look has a job by now.
                needed = await self._queue.references(kept_files=kept_files)
                await self._shelf.collect(needed.prepared)
                self._swept = needed
        if freed:
            _log.info("artefacts_collected", freed_bytes=freed)
