"""The door to the mesh stages: profiles, engines and checks are loaded when the first mesh arrives, not before."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.artefact import Prepared
from agent.domain.errors import StorageError
from agent.domain.job import Job
from agent.jobs.mesh_formats import is_mesh
from agent.jobs.orders import OrderOptions
from agent.jobs.queue import Queue
from agent.jobs.remains import CHECKS, SLICES
from agent.slicing.profile_files import ProfileKind, find_file

if TYPE_CHECKING:
    from agent.jobs.stages.mesh import MeshStage, Preparing
    from agent.jobs.stages.workshop import MeshWorkshop

Gate = Callable[[Job, Path], Awaitable[Prepared]]


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """What the owner decided, and where things lie.

    `search` are profile roots; `actions` maps verdicts to `print`, `hold` or `reject`; `dialect` tells the firmware's
    at the time.
    """

    state_dir: Path
    printer: str
    search: Sequence[Path]
    engine: str
    material: str
    quality: str
    actions: Mapping[str, str]
    dialect: Callable[[], str]

    @property
    def work_dir(self) -> Path:
        """For private directories; nothing in it outlives a daemon."""
        return self.state_dir / "work"


class Meshes:
    """Takes mesh jobs to the gate; event loop only. An idle daemon that has seen no mesh carries none of it."""

    def __init__(self, settings: MeshSettings) -> None:
        self._settings = settings
        self._workshop: MeshWorkshop | None = None
        self._stage: MeshStage | None = None

    def open(self) -> None:
        """Create the directory for work and remove what killed daemons left there. Blocking. Raises StorageError."""
        work = self._settings.work_dir
        try:
            work.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in work.iterdir():
                shutil.rmtree(leftover, ignore_errors=True)
        except OSError as error:
            raise StorageError(f"{work}: {error.strerror}", remedy="check its owner and the disk") from error

    @property
    def preparing(self) -> Preparing | None:
        """What is being done to a mesh right now."""
        return self._stage.preparing if self._stage is not None else None

    def postponed(self) -> frozenset[str]:
        """Return the ids of jobs that are not due yet."""
        return self._stage.postponed() if self._stage is not None else frozenset()

    def wait_s(self) -> float | None:
        """Return after how many seconds the next postponed job is due, None when none is."""
        return self._stage.wait_s() if self._stage is not None else None

    async def demand_layers(self, options: OrderOptions) -> None:
        """Raise NotFoundError for a material or quality that no profile has."""
        settings = self._settings

        def find() -> None:
            find_file(ProfileKind.MATERIAL, (options.material or settings.material).lower(), settings.search)
            find_file(ProfileKind.QUALITY, (options.quality or settings.quality).lower(), settings.search)

        await asyncio.to_thread(find)

    async def run(
        self,
        job: Job,
        queue: Queue,
        path_of: Callable[[str], Path],
        make_room: Callable[[], Awaitable[None]],
    ) -> None:
        """Take one mesh job as far as it goes; see `MeshStage.run`. `path_of` gives the place of an artefact."""
        if self._stage is None:
            from agent.jobs.stages.check import Action, CheckPolicy  # noqa: PLC0415 - see the module
            from agent.jobs.stages.mesh import MeshStage  # noqa: PLC0415

            actions = {verdict: Action(action) for verdict, action in self._settings.actions.items()}
            policy = CheckPolicy(**actions)
            self._stage = MeshStage(queue, self._opened(), policy, path_of, make_room=make_room)
        await self._stage.run(job)

    def gate(self, inner: Gate) -> Gate:
        """Return a gate that judges the G-code of mesh jobs in place of their file, and all others as before."""

        async def judged(job: Job, path: Path) -> Prepared:
            return await (self._opened().gate(inner) if is_mesh(job) else inner)(job, path)

        return judged

    def _opened(self) -> MeshWorkshop:
        if self._workshop is None:
            from agent.jobs.stages.workshop import MeshWorkshop, Workplace  # noqa: PLC0415 - see the module
            from agent.slicing.slice_shelf import SliceShelf  # noqa: PLC0415

            settings = self._settings
            place = Workplace(
                printer=settings.printer,
                search=settings.search,
                work_dir=settings.work_dir,
                reports_dir=settings.state_dir / CHECKS,
                engine=settings.engine,
                material=settings.material,
                quality=settings.quality,
            )
            workshop = MeshWorkshop(place, SliceShelf(settings.state_dir / SLICES), settings.dialect)
            workshop.open()
            self._workshop = workshop
        return self._workshop
