"""From a stream of bytes to a job: the way in for local files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from agent.domain.job import Job
from agent.jobs.mesh_formats import is_mesh_name
from agent.jobs.orders import OrderOptions
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore


class Request(Protocol):
    """What a local order says besides the file's bytes."""

    @property
    def name(self) -> str:
        """Return the file's name as the person gave it."""
        ...

    @property
    def copies(self) -> int:
        """Return how many are wanted."""
        ...

    @property
    def hold(self) -> bool:
        """Tell whether the job starts held."""
        ...

    @property
    def material(self) -> str | None:
        """Return the wanted material."""
        ...

    @property
    def quality(self) -> str | None:
        """Return the wanted quality."""
        ...

    @property
    def priority(self) -> int:
        """Return the priority, 0 for usual."""
        ...

    @property
    def expected_bytes(self) -> int | None:
        """Return the size the client announced, None when it did not."""
        ...


class MeshOrders(Protocol):
    """Knows what meshes can be made with."""

    async def demand_layers(self, options: OrderOptions) -> None:
        """Raise NotFoundError for a material or quality that no profile has."""
        ...


class Intake:
    """Stores a file and queues it; event loop only."""

    def __init__(
        self,
        queue: Queue,
        store: ArtefactStore,
        make_room: Callable[[], Awaitable[None]] | None = None,
        meshes: MeshOrders | None = None,
    ) -> None:
        """`make_room` deletes the files of jobs that are over; asked when a new file would not fit."""
        self._queue = queue
        self._store = store
        self._make_room = make_room
        self._meshes = meshes

    async def submit(self, request: Request, chunks: AsyncIterator[bytes]) -> Job:
        """Return the durable job. Nothing is read from `chunks` when the order itself cannot be taken.

        Raises UsageError (figures), NotFoundError (a mesh's material or quality), RefusedError `queue_full`,
        ArtefactError (the file), StorageError (the disk).
        """
        options = OrderOptions(
            copies=request.copies,
            is_held=request.hold,
            material=request.material,
            quality=request.quality,
            priority=request.priority,
        )
        if self._meshes is not None and is_mesh_name(request.name):
            await self._meshes.demand_layers(options)
        await self._queue.check_order(options)
        if self._make_room is not None and not await self._store.has_room(request.expected_bytes or 0):
            await self._make_room()
        artefact = await self._store.add(chunks, request.name, expected_bytes=request.expected_bytes)
        job = await self._queue.add(artefact, options)
        await self._store.settle(artefact.sha256)
        return job
