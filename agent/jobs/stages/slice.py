"""The slice stage: a mesh is checked, sliced for this printer, and kept until the gate has judged it (P7, P13).

A mesh job passes `checking` and `slicing` here and is left in `verifying`; there its G-code is judged like any other,
by the gate that `MeshWorkshop.gate` wraps. Both steps can be run again from their start: an accepted slice is found by
the hash of what went in.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog

from agent.domain.artefact import Prepared
from agent.domain.errors import FabunitError, RefusedError, StorageError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.queue import Queue
from agent.mesh.client import run_check
from agent.mesh.limits import MATERIALS, Limits, derive
from agent.mesh.request import Request
from agent.slicing.engine import Engine, FoundEngine
from agent.slicing.engines import choose_engine
from agent.slicing.evidence import MeshFacts
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.setup import PrintSetup, SliceChoices, load_setup, with_choices
from agent.slicing.slice_shelf import SliceShelf
from agent.slicing.slicer import RENDER_VERSION, Progress, SliceOrder, SliceResult, slice_mesh

MESH_FORMATS = frozenset({"stl", "3mf", "obj", "ply", "off", "amf", "step"})
DEFAULT_MATERIAL = "pla"
DEFAULT_QUALITY = "standard"
_NEEDS_SUPPORT = frozenset({"island", "overhang.area", "overhang.steep", "bridge.long"})
_TOLD_FINDINGS = 5

Gate = Callable[[Job, Path], Awaitable[Prepared]]
Phase = Callable[[JobState], Awaitable[None]]

_log = structlog.get_logger(__name__)


def is_mesh(job: Job) -> bool:
    """Whether the job's file has to be sliced before it can be printed."""
    return job.artefact_format in MESH_FORMATS


class NotPrintableError(FabunitError):
    """The mesh check found something that keeps the part from being printed; `findings` as in its report."""

    code = "not_printable"
    exit_code = 4
    http_status = 422

    def __init__(self, message: str, findings: Sequence[dict[str, Any]], remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.findings = tuple(findings)


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
    """Where things lie: profile roots, a directory for private work, the gate's output directory."""

    printer: str
    search: Sequence[Path]
    work_dir: Path
    prepared_dir: Path
    engine: str = "auto"


class MeshWorkshop:
    """Turns meshes into accepted G-code, one at a time; event loop only. `dialect` tells the firmware's at the time."""

    def __init__(self, workplace: Workplace, shelf: SliceShelf, dialect: Callable[[], str]) -> None:
        self._place = workplace
        self._shelf = shelf
        self._dialect = dialect
        self._turn = asyncio.Lock()

    async def make(
        self, order: MeshOrder, *, on_phase: Phase | None = None, on_progress: Progress | None = None
    ) -> tuple[Path, dict[str, Any]]:
        """Return the accepted G-code and its description, from the shelf where it is there already.

        NotPrintableError, SliceError, StorageError, ConfigError and RefusedError (material_unsuitable) say why not.
        """
        async with self._turn:
            setup = self._setup(order)
            engine, found = await choose_engine(self._place.engine)
            key = job_key(order.sha256, setup, found)
            kept = await asyncio.to_thread(self._shelf.find, key)
            if kept is not None:
                return kept
            try:
                return await self._make(_Task(order, setup, engine, found, key), on_phase, on_progress)
            except OSError as error:
                raise StorageError(
                    f"cannot slice {order.name}: {error.strerror}", remedy="check disk space and permissions"
                ) from error

    def gate(self, inner: Gate) -> Gate:
        """Return a gate that judges the G-code of mesh jobs in place of their file, and all others as before."""

        async def judged(job: Job, path: Path) -> Prepared:
            if not is_mesh(job):
                return await inner(job, path)
            gcode, description = await self.make(_order_of(job, path))
            prepared = await inner(job, gcode)
            return replace(
                prepared,
                source_sha256=job.artefact_sha256,
                summary={**prepared.summary, "slice": description},
            )

        return judged

    def _setup(self, order: MeshOrder) -> PrintSetup:
        return load_setup(
            self._place.printer,
            order.material or DEFAULT_MATERIAL,
            order.quality or DEFAULT_QUALITY,
            self._place.search,
            order.choices,
        )

    async def _make(
        self, task: _Task, on_phase: Phase | None, on_progress: Progress | None
    ) -> tuple[Path, dict[str, Any]]:
        order, setup = task.order, task.setup
        with tempfile.TemporaryDirectory(prefix="mesh-", dir=self._place.work_dir) as scratch:
            mesh = Path(scratch) / "checked.stl"
            if on_phase is not None:
                await on_phase(JobState.CHECKING)
            report = await examine(order.source, order.name, check_limits(setup), mesh)
            setup = with_supports(setup, report)
            if on_phase is not None:
                await on_phase(JobState.SLICING)
            result = await slice_mesh(
                SliceOrder(
                    mesh=mesh,
                    setup=setup,
                    out=self._shelf.path(task.key),
                    work_dir=self._place.work_dir,
                    prepared_dir=self._place.prepared_dir,
                    dialect=self._dialect(),
                    facts=facts_of(report),
                ),
                task.engine,
                task.found,
                on_progress=on_progress,
            )
        description = describe(result, setup, report)
        await asyncio.to_thread(self._shelf.keep, task.key, description)
        return result.gcode, description


@dataclass(frozen=True, slots=True)
class _Task:
    """One slice to be made."""

    order: MeshOrder
    setup: PrintSetup
    engine: Engine
    found: FoundEngine
    key: str


class Workshop(Protocol):
    """What the stage needs of a workshop."""

    async def make(
        self, order: MeshOrder, *, on_phase: Phase | None = None, on_progress: Progress | None = None
    ) -> tuple[Path, dict[str, Any]]:
        """Return accepted G-code and its description. Raises FabunitError with the reason."""
        ...


class SliceStage:
    """Takes a mesh job from `received`, or an interrupted `checking` or `slicing`, to `verifying` or its refusal."""

    def __init__(self, queue: Queue, workshop: Workshop, path_of: Callable[[str], Path]) -> None:
        """`path_of` gives the place of an artefact by its SHA-256."""
        self._queue = queue
        self._workshop = workshop
        self._path_of = path_of

    async def run(self, job: Job) -> None:
        """Check and slice one job. When it is held or cancelled meanwhile, the work is ended without a verdict."""
        try:
            event = await self._while_wanted(job)
            if event is not None:
                await self._queue.apply(job.job_id, event)
        except RefusedError as refusal:
            _log.info("slice_dropped", job_id=job.job_id, detail=refusal.message)

    async def _while_wanted(self, job: Job) -> JobEvent | None:
        work = asyncio.create_task(self._work(job), name=f"slice {job.job_id}")
        unwanted = asyncio.create_task(self._until_unwanted(job), name=f"watch {job.job_id}")
        try:
            await asyncio.wait({work, unwanted}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            unwanted.result()
            return None
        finally:
            for task in (work, unwanted):
                task.cancel()
            await asyncio.gather(work, unwanted, return_exceptions=True)

    async def _until_unwanted(self, job: Job) -> None:
        wanted = (JobState.RECEIVED, JobState.FETCHING, JobState.CHECKING, JobState.SLICING)
        version = self._queue.version
        while (await self._queue.get(job.job_id)).state in wanted:
            version = await self._queue.wait_changed(version)

    async def _work(self, job: Job) -> JobEvent:
        path = self._path_of(job.artefact_sha256)
        if not path.is_file():
            detail = "the file is not on disk any more: add it again"
            return JobEvent(Trigger.FAILED, Reason.ARTEFACT_LOST, detail)
        try:
            await self._workshop.make(_order_of(job, path), on_phase=lambda state: self._enter(job, state))
        except FabunitError as error:
            return failure_event(error)
        except Exception as error:  # noqa: BLE001 - the top of one job's slicing: the unit goes on
            _log.exception("slice_crashed", job_id=job.job_id)
            return JobEvent(Trigger.FAILED, Reason.GATE_CRASHED, f"{type(error).__name__}: {error}")
        return JobEvent(Trigger.VERIFY_BEGAN)

    async def _enter(self, job: Job, state: JobState) -> None:
        """Show the state, unless an earlier run of this stage has got further."""
        trigger = Trigger.CHECK_BEGAN if state is JobState.CHECKING else Trigger.SLICE_BEGAN
        present = (await self._queue.get(job.job_id)).state
        order = [JobState.RECEIVED, JobState.FETCHING, JobState.CHECKING, JobState.SLICING]
        if present in order and order.index(present) < order.index(state):
            await self._queue.apply(job.job_id, JobEvent(trigger))


async def examine(source: Path, name: str, limits: Limits, stl: Path) -> dict[str, Any]:
    """Check a mesh and write it again as binary STL in mm; return the report.

    NotPrintableError for an error finding, SliceError (mesh_rejected) when the check could not be finished.
    """
    report = await run_check(Request(source=source, name=name, limits=limits, repair_to=stl))
    if report["verdict"] == "not_printable":
        errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise NotPrintableError(
            f"{first['message']}{more}", errors[:_TOLD_FINDINGS], remedy=str(first.get("remedy", ""))
        )
    if report["verdict"] == "undetermined" or not await asyncio.to_thread(stl.is_file):
        raise SliceError(
            SliceFailure.MESH_REJECTED, "it could not be determined whether the mesh can be printed"
        )
    return report


def check_limits(setup: PrintSetup) -> Limits:
    """Return the thresholds of the mesh check for this setup; supports can be had, so overhangs only warn."""
    family = setup.filament.type.lower()
    name = next((known for known in (setup.material, family) if known in MATERIALS), DEFAULT_MATERIAL)
    return derive(setup.profile, material=name, layer_mm=setup.layer_mm, has_supports=True)


def with_supports(setup: PrintSetup, report: dict[str, Any]) -> PrintSetup:
    """Switch supports on when the check asks for them and neither job nor quality has decided."""
    needed = any(
        finding["id"] in _NEEDS_SUPPORT and finding["severity"] != "info" for finding in report["findings"]
    )
    if not needed or setup.choices.supports is not None or setup.style.support.enabled:
        return setup
    return with_choices(setup, replace(setup.choices, supports=True))


def facts_of(report: dict[str, Any]) -> MeshFacts | None:
    """Return size, volume and triangles of a checked mesh; its volume counts only when it is closed."""
    mesh = report.get("mesh")
    if not mesh:
        return None
    x, y, z = mesh["size_mm"]
    is_closed = not mesh.get("open_edges") and not mesh.get("flipped_edges")
    volume = mesh.get("volume_mm3") if is_closed and (mesh.get("volume_mm3") or 0) > 0 else None
    return MeshFacts((x, y, z), volume, int(mesh["triangles"]))


def job_key(artefact_sha256: str, setup: PrintSetup, found: FoundEngine) -> str:
    """Return the key of a slice before anything is done: over the file as it came, the setup, and the engine."""
    parts = ("job", artefact_sha256, setup.digest, found.name, found.version_text, str(RENDER_VERSION))
    return hashlib.sha256("\n".join(parts).encode("ascii")).hexdigest()


def describe(result: SliceResult, setup: PrintSetup, report: dict[str, Any]) -> dict[str, Any]:
    """Return what belongs into receipts and reports: with what the file was made, and what it will take."""
    return {
        "size_bytes": result.size_bytes,
        "sha256": result.sha256,
        "mesh_sha256": result.mesh_sha256,
        "engine": result.engine,
        "engine_version": result.engine_version,
        "setup_digest": setup.digest,
        "printer": setup.printer,
        "material": setup.material,
        "quality": setup.quality,
        "supports": setup.supports,
        "check_verdict": report["verdict"],
        "estimate_s": result.prepared.metadata.estimate_s,
        "filament_mm": result.prepared.metadata.filament_mm,
        "layers": len(result.prepared.layers),
        "warnings": list(result.warnings[:_TOLD_FINDINGS]),
    }


def failure_event(error: FabunitError) -> JobEvent:
    """Return what happens to a job that could not be sliced; `data.code` has the exact reason."""
    detail = f"{error.message}; {error.remedy}" if error.remedy else error.message
    data: dict[str, Any] = {"code": error.code}
    if error.code == SliceFailure.DISK_FULL.value:
        return JobEvent(Trigger.HELD, Reason.DISK_FULL, detail, data=data)
    if isinstance(error, NotPrintableError):
        data["findings"] = list(error.findings)
        return JobEvent(Trigger.REJECTED, Reason.GATE_REFUSED, detail, data=data)
    if isinstance(error, SliceError):
        trigger = Trigger.REJECTED if error.exit_code == RefusedError.exit_code else Trigger.FAILED
        reason = Reason.GATE_REFUSED if trigger is Trigger.REJECTED else Reason.GATE_CRASHED
        return JobEvent(trigger, reason, detail, data=data)
    if isinstance(error, RefusedError):
        return JobEvent(Trigger.REJECTED, Reason.GATE_REFUSED, detail, data=data)
    return JobEvent(Trigger.FAILED, Reason.GATE_CRASHED, detail, data=data)


def _order_of(job: Job, path: Path) -> MeshOrder:
    return MeshOrder(path, job.artefact_sha256, job.name, job.material, job.quality)
