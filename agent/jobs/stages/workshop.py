"""The workshop: checks and slices the mesh of a job, and finds again what it has done before (P7, P13).

Everything heavy happens in child processes. Reports and accepted slices are kept by the hash of what went in, so any
step can be run again at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.domain.artefact import Prepared
from agent.domain.errors import ArtefactError, StorageError
from agent.domain.job import Job
from agent.jobs.mesh_formats import is_mesh, is_mesh_name
from agent.jobs.stages.mesh_words import describe, facts_of
from agent.mesh.cache import ReportCache
from agent.mesh.client import Progress as CheckProgress
from agent.mesh.client import run_check
from agent.mesh.limits import MATERIALS, Limits, derive
from agent.mesh.request import Request, memory_limit_bytes
from agent.slicing.engine import Engine, FoundEngine
from agent.slicing.engines import choose_engine, machine_memory_bytes
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.setup import PrintSetup, SliceChoices, load_setup, with_choices
from agent.slicing.slice_shelf import SliceShelf
from agent.slicing.slicer import RENDER_VERSION, Progress, SliceOrder, remove_leftovers, slice_mesh
from agent.storage import faults

DEFAULT_MATERIAL = "pla"
DEFAULT_QUALITY = "standard"
NEEDS_SUPPORT = frozenset({"island", "overhang.area", "bridge.span", "shelf.reach", "body.floating"})
"""Findings that supports are the answer to, where they are more than a remark."""
MESH_FILE = "checked.stl"
_SCRATCH = "mesh-"

Gate = Callable[[Job, Path], Awaitable[Prepared]]


@dataclass(frozen=True, slots=True)
class MeshOrder:
    """A mesh file and what it shall become. None: the unit's default."""

    source: Path
    sha256: str
    name: str
    material: str | None = None
    quality: str | None = None
    choices: SliceChoices | None = None


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where things lie, and what is taken where an order says nothing.

    `search` are profile roots, `work_dir` is for private directories, `reports_dir` for kept reports.
    """

    printer: str
    search: Sequence[Path]
    work_dir: Path
    reports_dir: Path
    engine: str = "auto"
    material: str = DEFAULT_MATERIAL
    quality: str = DEFAULT_QUALITY


@dataclass(frozen=True, slots=True)
class Plan:
    """How an order will be made: setup, engine, limits of its check, and the key of its slice."""

    order: MeshOrder
    setup: PrintSetup
    engine: Engine
    found: FoundEngine
    limits: Limits
    key: str


class MeshWorkshop:
    """Turns meshes into accepted G-code, one at a time; event loop only. `dialect` tells the firmware's at the time."""

    def __init__(self, workplace: Workplace, shelf: SliceShelf, dialect: Callable[[], str]) -> None:
        self._place = workplace
        self._shelf = shelf
        self._dialect = dialect
        self._reports = ReportCache(workplace.reports_dir)
        self._chosen: tuple[Engine, FoundEngine, int] | None = None

    def open(self) -> None:
        """Create the directories and remove what killed daemons left there. Blocking. Raises StorageError."""
        try:
            self._place.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._shelf.open()
        except OSError as error:
            raise StorageError(f"{error.filename}: {error.strerror}", remedy="check its owner") from error
        remove_leftovers(self._place.work_dir)
        for leftover in self._place.work_dir.glob(f"{_SCRATCH}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def bench(self) -> AsyncIterator[Path]:
        """Give a private directory for one job; nothing of it is left afterwards. Raises StorageError."""
        try:
            scratch = tempfile.mkdtemp(prefix=_SCRATCH, dir=self._place.work_dir)
        except OSError as error:
            raise faults.from_os(error, self._place.work_dir) from error
        try:
            yield Path(scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def order_of(self, job: Job, path: Path) -> MeshOrder:
        """Return a job's order; without one of the known extensions its name gets the one it was announced with."""
        name = job.name
        if not is_mesh_name(name):
            name = f"{name}.{job.artefact_format}"
        return MeshOrder(path, job.artefact_sha256, name, job.material, job.quality)

    async def plan(self, order: MeshOrder) -> Plan:
        """Decide how to make it.

        Raises NotFoundError (material, quality), RefusedError (material_unsuitable), ConfigError, SliceError
        (engine_missing).
        """
        setup = load_setup(
            self._place.printer,
            (order.material or self._place.material).lower(),
            (order.quality or self._place.quality).lower(),
            self._place.search,
            order.choices,
        )
        engine, found = await self._engine()
        key = job_key(order.sha256, setup, found)
        return Plan(order, setup, engine, found, check_limits(setup), key)

    async def _engine(self) -> tuple[Engine, FoundEngine]:
        """Return the engine; asked for its version once, and again when the program was replaced."""
        if self._chosen is not None:
            engine, found, stamp = self._chosen
            with contextlib.suppress(OSError):
                if found.path.stat().st_mtime_ns == stamp:
                    return engine, found
        engine, found = await choose_engine(self._place.engine)
        self._chosen = (engine, found, found.path.stat().st_mtime_ns)
        return engine, found

    async def known(self, plan: Plan) -> tuple[dict[str, Any] | None, bool]:
        """Return the kept report, None without one, and whether the slice is kept, too."""
        order = plan.order
        report = await asyncio.to_thread(self._reports.load, order.sha256, plan.limits, order.name)
        return report, await asyncio.to_thread(self._shelf.find, plan.key) is not None

    def report_path(self, plan: Plan) -> Path:
        """Return where the full report is, where there is one."""
        return self._reports.path(plan.order.sha256, plan.limits)

    async def examine(
        self, plan: Plan, bench: Path, on_progress: CheckProgress | None = None
    ) -> dict[str, Any]:
        """Check the mesh and leave it, mended, as binary STL in mm on the bench where it can be read.

        Raises ArtefactError `hash_mismatch` when the file on disk is another one.
        """
        request = Request(
            source=plan.order.source,
            name=plan.order.name,
            limits=plan.limits,
            repair_to=bench / MESH_FILE,
            memory_bytes=memory_limit_bytes(machine_memory_bytes()),
        )
        report = await run_check(request, on_progress=on_progress)
        seen = report["file"]["sha256"]
        if seen and seen != plan.order.sha256:
            raise ArtefactError("the file on disk is not the file that was ordered", code="hash_mismatch")
        await asyncio.to_thread(self._reports.save, report, plan.limits)
        return report

    async def make(
        self, plan: Plan, report: dict[str, Any], bench: Path, on_progress: Progress | None = None
    ) -> tuple[Path, dict[str, Any]]:
        """Return accepted G-code and its description, from the shelf where it is there already.

        The mesh is the one that `examine` left on the bench. SliceError and StorageError say why not.
        """
        kept = await asyncio.to_thread(self._shelf.find, plan.key)
        if kept is not None:
            return kept
        mesh = bench / MESH_FILE
        if not mesh.is_file():
            report = await self.examine(plan, bench)
        if not mesh.is_file():
            raise SliceError(SliceFailure.MESH_REJECTED, "the mesh cannot be read, so it cannot be sliced")
        setup = with_supports(plan.setup, report)
        order = SliceOrder(
            mesh=mesh,
            setup=setup,
            out=self._shelf.path(plan.key),
            work_dir=bench,
            prepared_dir=bench,
            dialect=self._dialect(),
            facts=facts_of(report),
        )
        result = await slice_mesh(order, plan.engine, plan.found, on_progress=on_progress)
        description = describe(result, setup, report)
        try:
            await asyncio.to_thread(self._shelf.keep, plan.key, description, plan.order.sha256)
        except OSError as error:
            raise faults.from_os(error, self._shelf.path(plan.key)) from error
        return result.gcode, description

    def gate(self, inner: Gate) -> Gate:
        """Return a gate that judges the G-code of mesh jobs in place of their file, and all others as before."""

        async def judged(job: Job, path: Path) -> Prepared:
            if not is_mesh(job):
                return await inner(job, path)
            plan = await self.plan(self.order_of(job, path))
            async with self.bench() as bench:
                gcode, description = await self.make(plan, {"findings": []}, bench)
                prepared = await inner(job, gcode)
            return replace(
                prepared,
                source_sha256=job.artefact_sha256,
                summary={**prepared.summary, "slice": description},
            )

        return judged


def check_limits(setup: PrintSetup) -> Limits:
    """Return the thresholds of the mesh check for this setup; supports can be had, so overhangs only warn."""
    family = setup.filament.type.lower()
    name = next((known for known in (setup.material, family) if known in MATERIALS), DEFAULT_MATERIAL)
    return derive(setup.profile, material=name, layer_mm=setup.layer_mm, has_supports=True)


def with_supports(setup: PrintSetup, report: dict[str, Any]) -> PrintSetup:
    """Switch supports on when the check asks for them and neither job nor quality has decided."""
    needed = any(
        finding["id"] in NEEDS_SUPPORT and finding["severity"] != "info" for finding in report["findings"]
    )
    if not needed or setup.choices.supports is not None or setup.style.support.enabled:
        return setup
    return with_choices(setup, replace(setup.choices, supports=True))


def job_key(artefact_sha256: str, setup: PrintSetup, found: FoundEngine) -> str:
    """Return the key of a slice before anything is done: over the file as it came, the setup, and the engine."""
    parts = ("job", artefact_sha256, setup.digest, found.name, found.version_text, str(RENDER_VERSION))
    return hashlib.sha256("\n".join(parts).encode("ascii")).hexdigest()
