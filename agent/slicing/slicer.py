"""From a checked mesh to checked G-code: one engine run in a directory of its own, accepted on evidence only."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import signal
import struct
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from agent.domain.artefact import Prepared
from agent.domain.errors import ArtefactError, StorageError
from agent.gcode.client import run_prepare
from agent.slicing.engine import MESH_NAME, OUTPUT_NAME, Engine, FoundEngine
from agent.slicing.evidence import MeshFacts, check_complete, check_prepared, read_tail
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.process import Ended, ProcessLimits, run_limited
from agent.slicing.setup import PrintSetup

RENDER_VERSION = 3  # counted up when settings are rendered differently: older results are sliced again
LEAST_FACETS = 4
MAX_FACETS = 5_000_000  # three gigabytes in PrusaSlicer; the mesh check refuses earlier
_STL_HEAD_BYTES = 84
_STL_FACET_BYTES = 50
_ROUNDING_MM = 0.01
_LEAST_FREE_BYTES = 64 << 20
_PREFIX = "slice-"

Progress = Callable[[float], None]
Gate = Callable[[Path], Awaitable[Prepared]]


@dataclass(frozen=True, slots=True)
class SliceOrder:
    """What to slice, with what, and where the results go.

    `mesh` is a binary STL that fabunit itself has written; `work_dir` is for the private directory, `out` the G-code
    file to write. `facts` as the mesh check found them. `dialect` is the firmware's, for the gate.
    """

    mesh: Path
    setup: PrintSetup
    out: Path
    work_dir: Path
    prepared_dir: Path
    dialect: str = "marlin"
    facts: MeshFacts | None = None


@dataclass(frozen=True, slots=True)
class SliceResult:
    """An accepted slice: the file, what the gate made of it, and what it was made with."""

    gcode: Path
    sha256: str
    size_bytes: int
    prepared: Prepared
    engine: str
    engine_version: str
    setup_digest: str
    mesh_sha256: str
    key: str
    warnings: tuple[str, ...] = ()


async def slice_mesh(
    order: SliceOrder,
    engine: Engine,
    found: FoundEngine,
    *,
    limits: ProcessLimits | None = None,
    on_progress: Progress | None = None,
    gate: Gate | None = None,
) -> SliceResult:
    """Slice, check, and move the accepted file to `order.out`; on any failure nothing is left behind.

    SliceError with its reason; what the gate raises when it cannot run; StorageError when a file cannot be read or
    written. Cancelling ends the engine within a second. `on_progress` gets a fraction that never falls; 1 comes after
    the checks.
    """
    try:
        return await _slice(order, engine, found, limits=limits, on_progress=on_progress, gate=gate)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SliceError(
                SliceFailure.DISK_FULL, f"the disk that holds {order.work_dir} is full"
            ) from error
        raise StorageError(
            f"cannot slice: {error.filename or order.out}: {error.strerror or error}",
            remedy="check the path and its owner",
        ) from error


async def _slice(
    order: SliceOrder,
    engine: Engine,
    found: FoundEngine,
    *,
    limits: ProcessLimits | None,
    on_progress: Progress | None,
    gate: Gate | None,
) -> SliceResult:
    mesh_sha256, facets = await asyncio.to_thread(check_stl, order.mesh)
    limits = limits or limits_for(engine, facets)
    _demand_fit(order)
    _demand_room(order.work_dir, engine, facets)
    report = _Rising(on_progress)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=order.work_dir) as scratch:
        directory = Path(scratch)
        await asyncio.to_thread(shutil.copyfile, order.mesh, directory / MESH_NAME)
        engine.write_inputs(found, order.setup, directory)
        ended = await run_limited(
            engine.arguments(found, order.setup, directory),
            directory,
            limits,
            on_line=lambda line: report(_scaled(engine.progress(line))),
        )
        output = directory / OUTPUT_NAME
        _judge_end(engine, ended, output, directory)
        await asyncio.to_thread(engine.finish, directory, ended.output)
        check_complete(engine, found, order.setup, await asyncio.to_thread(read_tail, output))
        prepared = await _gated(gate or _gate_of(order), output)
        check_prepared(order.setup, prepared, order.facts)
        size = output.stat().st_size
        await asyncio.to_thread(_move, output, order.out)
    report(1.0)
    return SliceResult(
        gcode=order.out,
        sha256=prepared.source_sha256,
        size_bytes=size,
        prepared=prepared,
        engine=found.name,
        engine_version=found.version_text,
        setup_digest=order.setup.digest,
        mesh_sha256=mesh_sha256,
        key=slice_key(mesh_sha256, order.setup, found),
        warnings=tuple(finding.message for finding in prepared.findings if finding.severity == "warning"),
    )


def slice_key(mesh_sha256: str, setup: PrintSetup, found: FoundEngine) -> str:
    """Return the key under which an equal slice can be found again: over all inputs, never over the output."""
    parts = (mesh_sha256, setup.digest, found.name, found.version_text, str(RENDER_VERSION))
    return hashlib.sha256("\n".join(parts).encode("ascii")).hexdigest()


def limits_for(engine: Engine, facets: int) -> ProcessLimits:
    """Return limits for a mesh of this size: fifteen minutes, and a minute more for every 50,000 facets."""
    wall_s = min(900.0 + facets * 60 / 50_000, 3600.0)
    return ProcessLimits(
        memory_bytes=engine.address_space_bytes(facets), cpu_s=int(2 * wall_s), wall_s=wall_s
    )


def remove_leftovers(work_dir: Path) -> int:
    """Delete directories of slicers that were killed together with their daemon; return how many."""
    leftovers = [path for path in work_dir.glob(f"{_PREFIX}*") if path.is_dir()]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def check_stl(path: Path) -> tuple[str, int]:
    """Return SHA-256 and number of facets of a binary STL; SliceError (mesh_rejected) for anything else."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            head = file.read(_STL_HEAD_BYTES)
            digest.update(head)
            size = len(head)
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise SliceError(SliceFailure.MESH_REJECTED, f"cannot read {path.name}: {error.strerror}") from error
    facets = struct.unpack("<I", head[80:84])[0] if len(head) == _STL_HEAD_BYTES else 0
    if size != _STL_HEAD_BYTES + _STL_FACET_BYTES * facets or not LEAST_FACETS <= facets <= MAX_FACETS:
        raise SliceError(SliceFailure.MESH_REJECTED, f"{path.name} is not a complete binary STL file")
    return digest.hexdigest(), facets


def _demand_fit(order: SliceOrder) -> None:
    """Refuse what cannot fit before minutes are spent on slicing it."""
    if order.facts is None:
        return
    for axis, size, room in zip("XYZ", order.facts.size_mm, order.setup.usable_mm, strict=True):
        if size > room + _ROUNDING_MM:
            raise SliceError(
                SliceFailure.DOES_NOT_FIT,
                f"the part is {size:.4g} mm long in {axis}, {order.setup.profile.title} has room for {room:.4g} mm",
            )


def _demand_room(work_dir: Path, engine: Engine, facets: int) -> None:
    figures = os.statvfs(work_dir)
    if figures.f_bavail * figures.f_frsize < _LEAST_FREE_BYTES:
        raise SliceError(SliceFailure.DISK_FULL, f"less than 64 MiB are free in {work_dir}")
    need, available = engine.memory_need_bytes(facets), _available_bytes()
    if available is not None and need > available:
        raise SliceError(
            SliceFailure.OUT_OF_MEMORY,
            f"{engine.name} needs about {need >> 20} MiB for {facets} triangles, {available >> 20} MiB are free",
        )


def _available_bytes() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _judge_end(engine: Engine, ended: Ended, output: Path, directory: Path) -> None:
    """Raise SliceError when the engine failed by its own account, or left no file."""
    if ended.was_late or ended.status == -signal.SIGXCPU:
        raise SliceError(SliceFailure.TIMEOUT, f"{engine.name} took too long and was stopped")
    told = engine.failure(ended)
    has_file = output.is_file() and output.stat().st_size > 0
    if ended.status == 0 and has_file:
        return
    if ended.status == -signal.SIGXFSZ:
        raise SliceError(SliceFailure.OUTPUT_TRUNCATED, f"{engine.name} wrote more than it may")
    figures = os.statvfs(directory)
    if figures.f_bavail * figures.f_frsize < 1 << 20:
        raise SliceError(SliceFailure.DISK_FULL, f"the disk ran full while {engine.name} was slicing")
    if told is not None:
        failure, line = told
        raise SliceError(failure, f"{engine.name}: {line}")
    if ended.status == -signal.SIGKILL:
        raise SliceError(SliceFailure.OUT_OF_MEMORY, f"{engine.name} was ended by the system")
    if ended.status == 0:
        raise SliceError(SliceFailure.EMPTY_RESULT, f"{engine.name} ended without a file")
    last = ended.output.strip().splitlines()[-1:] or [""]
    shown = "".join(char if char.isprintable() else "?" for char in last[0])[:200]
    raise SliceError(
        SliceFailure.ENGINE_CRASHED, f"{engine.name} ended with status {ended.status}: {shown}".rstrip(": ")
    )


async def _gated(gate: Gate, output: Path) -> Prepared:
    try:
        return await gate(output)
    except ArtefactError as error:
        raise SliceError(SliceFailure.EMPTY_RESULT, f"the slicer wrote no G-code: {error.message}") from error


def _gate_of(order: SliceOrder) -> Gate:
    async def gate(path: Path) -> Prepared:
        return await run_prepare(path, order.prepared_dir, order.setup.profile, order.dialect)

    return gate


def _move(source: Path, target: Path) -> None:
    """Sync and rename within one file system, else copy beside the target first."""
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.move(source, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o640)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _scaled(fraction: float | None) -> float | None:
    """Slicing takes most of the time; the checks have the last tenth."""
    return None if fraction is None else 0.9 * fraction


class _Rising:
    """Passes on only what is further than before."""

    def __init__(self, on_progress: Progress | None) -> None:
        self._on_progress = on_progress
        self._reached = -1.0

    def __call__(self, fraction: float | None) -> None:
        if fraction is not None and fraction > self._reached and self._on_progress is not None:
            self._reached = fraction
            self._on_progress(fraction)
