"""One file under examination: gate, reader, survey, checks, document. Runs in the worker only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agent.domain.artefact import Severity
from agent.mesh import unit_guess
from agent.mesh.arrays import I64
from agent.mesh.checker_version import CHECKER_VERSION
from agent.mesh.checks.outcome import Check, Outcome
from agent.mesh.checks.registry import CHECKS
from agent.mesh.errors import MeshFileError
from agent.mesh.finding import CheckRun, CheckStatus, MeshFinding, Vector
from agent.mesh.gate.facts import GateFacts
from agent.mesh.gate.inspect import inspect
from agent.mesh.geometry.budget import OverBudgetError
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.survey import Survey, survey
from agent.mesh.limits import Limits
from agent.mesh.load.read import read
from agent.mesh.load.source import TriangleSource
from agent.mesh.report.document import compose, incomplete
from agent.mesh.report.estimate import estimate

Progress = Callable[[str, float], None]
_HASH_BLOCK = 1 << 20
_FARTHEST_MM = 1e8  # a part of 10 m in microns, times ten
# What an indexed part takes at its peak, per triangle, measured over all checks; the rest is interpreter and numpy.
BYTES_PER_TRIANGLE = 400
FIXED_BYTES = 120 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """What to examine. `unit`: the maker's word for what a number means, None if nothing was said."""

    source: Path
    name: str
    limits: Limits
    unit: str | None = None
    memory_bytes: int = 1 << 30
    cpu_s: float = 600.0


@dataclass(slots=True)
class Examination:
    """The report, and what pictures need; `part` is None when the file could not be read."""

    document: dict[str, Any]
    part: Part | None = None
    painted: dict[str, I64] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)


def examine(order: Order, progress: Progress) -> Examination:
    """Return the examination of a file; what is wrong with the file is a finding, never an exception."""
    clock = _Clock()
    sha256, size = _digest(order.source)
    clock.lap("hash")
    try:
        facts = inspect(order.source, order.name)
    except MeshFileError as error:
        return _refused(order, sha256, size, "", error)
    clock.lap("gate")
    try:
        part, question = _load(order, facts, int(sha256[:15], 16), progress, clock)
    except MeshFileError as error:
        return _refused(order, sha256, size, facts.format.value, error)
    except MemoryError:
        return _exhausted(order, sha256, size, facts.format.value)
    findings = [question] if question is not None else []
    runs = [CheckRun("load", CheckStatus.DONE)]
    painted: dict[str, I64] = {}
    for number, (identity, check) in enumerate(CHECKS):
        progress(identity, 0.3 + 0.7 * number / len(CHECKS))
        outcome = run_check(identity, check, part, order.cpu_s)
        findings += outcome.findings
        painted |= outcome.painted
        runs.append(CheckRun(identity, outcome.status, outcome.detail))
        clock.lap(identity)
    document = compose(
        sha256=sha256,
        size_bytes=size,
        format_name=facts.format.value,
        checker_version=CHECKER_VERSION,
        limits=order.limits,
        findings=findings,
        runs=runs,
        mesh=_mesh_facts(part),
        estimate=_estimate(part),
    )
    clock.lap("estimate")
    return Examination(document, part, painted, clock.laps)


def _load(
    order: Order, facts: GateFacts, seed: int, progress: Progress, clock: _Clock
) -> tuple[Part, MeshFinding | None]:
    """Read the file in the unit that makes sense; return the question to the maker if that was a guess."""
    scale = unit_guess.UNITS_MM[order.unit] if order.unit else 1.0
    source = read(order.source, facts, scale)
    clock.lap("read")
    found = _survey(source, order.limits, seed, progress)
    question = None
    if order.unit is None and not facts.format.has_unit:
        size: Vector = (float(found.size[0]), float(found.size[1]), float(found.size[2]))
        guessed = unit_guess.guess(
            size, found.volume_mm3, order.limits.volume_mm, small_volume_mm3=order.limits.unit_volume_mm3
        )
        if guessed is not None:
            question = unit_guess.finding(guessed, size)
            source = read(order.source, facts, guessed.scale)
            found = _survey(source, order.limits, seed, progress)
    clock.lap("survey")
    budget = max(0, order.memory_bytes - FIXED_BYTES) // BYTES_PER_TRIANGLE
    return Part(source, found, order.limits, seed=seed, budget_triangles=budget), question


def _survey(source: TriangleSource, limits: Limits, seed: int, progress: Progress) -> Survey:
    with np.errstate(all="ignore"):  # what overflows is refused by its coordinates
        found = survey(
            source,
            VertexHash(seed),
            overhang_deg=limits.overhang_deg,
            bed_mm=limits.layer_mm / 2,
            progress=lambda done, total: progress("survey", 0.3 * done / total),
        )
    farthest = float(np.abs(np.concatenate([found.low, found.high])).max())
    if farthest > _FARTHEST_MM:
        raise MeshFileError(
            f"coordinates reach {farthest:.3g} mm: this is no part",
            code="size.absurd",
            remedy="check the unit and the export",
        )
    return found


def run_check(identity: str, check: Check, part: Part, cpu_s: float) -> Outcome:
    """Run one check. What it cannot finish is said; nothing is passed by a check that did not look."""
    if time.process_time() > cpu_s:
        return Outcome(status=CheckStatus.SKIPPED, detail=f"the time of {cpu_s:g} s was used up")
    try:
        with np.errstate(all="ignore"):
            return check(part)
    except OverBudgetError as error:
        return Outcome(status=CheckStatus.SKIPPED, detail=str(error))
    except MemoryError:
        return Outcome(status=CheckStatus.FAILED, detail="not enough memory")
    except Exception as error:  # noqa: BLE001 - the top of one check: the others still have something to say
        return Outcome(
            status=CheckStatus.FAILED, detail=f"{identity} crashed: {type(error).__name__}: {error}"
        )


def _estimate(part: Part) -> dict[str, Any] | None:
    try:
        with np.errstate(all="ignore"):
            return estimate(part)
    except (MemoryError, OverBudgetError):
        return None


def _refused(order: Order, sha256: str, size: int, format_name: str, error: MeshFileError) -> Examination:
    finding = MeshFinding(error.code, Severity.ERROR, error.message, error.remedy)
    document = compose(
        sha256=sha256,
        size_bytes=size,
        format_name=format_name,
        checker_version=CHECKER_VERSION,
        limits=order.limits,
        findings=[finding],
        runs=[CheckRun("load", CheckStatus.FAILED, error.code)],
        mesh=None,
        estimate=None,
    )
    return Examination(document)


def _exhausted(order: Order, sha256: str, size: int, format_name: str) -> Examination:
    """The machine is too small: that says nothing about the part."""
    document = incomplete(
        order.limits,
        "the mesh needs more memory than this machine gives",
        sha256=sha256,
        size_bytes=size,
        format_name=format_name,
    )
    return Examination(document)


def _mesh_facts(part: Part) -> dict[str, Any]:
    found = part.survey
    return {
        "triangles": found.triangles,
        "low_mm": [round(float(value), 4) + 0.0 for value in found.low],
        "high_mm": [round(float(value), 4) + 0.0 for value in found.high],
        "size_mm": [round(float(value), 4) + 0.0 for value in found.size],
        "volume_mm3": round(found.volume_mm3, 4),
        "area_mm2": round(found.area_mm2, 4),
        "centre_of_mass_mm": [round(float(value), 3) + 0.0 for value in found.centre],
        "edges": found.edges.edges,
        "open_edges": found.edges.open,
        "flipped_edges": found.edges.flipped,
        "shared_edges": found.edges.shared,
        "nonmanifold_edges": found.edges.tangled,
        "degenerate_faces": found.degenerate,
        "overhang_mm2": round(float(found.down_area_mm2.sum(dtype=np.float64)), 3),
        "bed_mm2": round(found.bed_area_mm2, 3),
    }


def _digest(path: Path) -> tuple[str, int]:
    """Return SHA-256 and length of a file. An unreadable one has the digest of nothing; the gate says why."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError:
        return digest.hexdigest(), 0
    return digest.hexdigest(), size


class _Clock:
    """Processor seconds of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 3)
        self._last = now
