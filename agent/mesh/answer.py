"""A request answered: examination, then what was asked for besides (pose, repair, files). Worker only."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agent import __version__
from agent.domain.artefact import Severity
from agent.mesh.arrays import F64
from agent.mesh.checks.registry import CHECKS, POSE_CHECKS
from agent.mesh.examine import Examination, Order, examine, run_check
from agent.mesh.finding import MeshFinding
from agent.mesh.geometry.budget import OverBudgetError
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.survey import survey
from agent.mesh.load.source import IndexedSource
from agent.mesh.orientation import report, rotation, search
from agent.mesh.repair import proposals, repair, write_stl
from agent.mesh.report.document import sort_findings
from agent.mesh.report.page import page
from agent.mesh.report.pictures import overview
from agent.mesh.report.text import verdict_line
from agent.mesh.request import Request
from agent.mesh.worker_files import dump, write_bytes
from agent.worker.limits import peak_memory_bytes

Progress = Callable[[str, float], None]


def answer(request: Request, progress: Progress) -> dict[str, Any]:
    """Return the report; its `run` block tells what varies: name, times, memory, versions, files written."""
    if request.report_dir is not None:
        request.report_dir.mkdir(parents=True, exist_ok=True)
    found = examine(_order(request, request.source, request.name), progress)
    files: list[str] = []
    began_s = time.process_time()
    if found.part is not None:
        with np.errstate(all="ignore"):
            files += _extras(request, found, found.part, progress)
            found.timings_s["extras"] = round(time.process_time() - began_s, 3)
            if request.report_dir is not None:
                progress("pictures", 0.97)
                files += _write(request.report_dir, found, request.name)
                found.timings_s["files"] = round(time.process_time() - began_s - found.timings_s["extras"], 3)
    if request.report_dir is not None:
        files.append(str(request.report_dir / "report.json"))
    found.document["run"] = {
        "name": request.name,
        "cpu_s": {key: value for key, value in found.timings_s.items() if value >= 0.001},
        "peak_memory_bytes": peak_memory_bytes(),
        "versions": {"fabunit": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "files": files,
    }
    if request.report_dir is not None:
        dump(found.document, request.report_dir / "report.json")
    return found.document


def _order(request: Request, source: Path, name: str) -> Order:
    return Order(
        source,
        name,
        request.limits,
        unit=request.unit,
        memory_bytes=request.memory_bytes,
        cpu_s=request.cpu_s,
    )


def _extras(request: Request, found: Examination, part: Part, progress: Progress) -> list[str]:
    """Search a pose and repair, both only on demand; both leave the file as it is. Return what was written."""
    document = found.document
    document["repair"] = {"proposed": proposals([one["id"] for one in document["findings"]]), "words": []}
    try:
        if request.is_oriented:
            progress("orientation", 0.9)
            document["orientation"] = _oriented(part)
        if request.repair_to is not None:
            progress("repair", 0.95)
            return _repaired(request, found, part, request.repair_to)
    except (OverBudgetError, MemoryError) as error:
        document["repair"]["words"] = [f"not done: {str(error) or 'not enough memory'}"]
    return []


def _oriented(part: Part) -> dict[str, Any]:
    """Return the pose search, with the checks that depend on the pose run again for the best one."""
    poses = search(part)
    result = report(poses)
    if result["is_better"]:
        after = _recheck(part, rotation(poses[0].up))
        result["findings_after"] = [finding.to_dict() for finding in after]
        told = [
            f"{finding.severity.value} {finding.id}"
            for finding in after
            if finding.severity is not Severity.INFO
        ]
        result["words"].append(
            f"  checked again in that pose: {', '.join(told) or 'nothing to complain about'}"
        )
    return result


def _recheck(part: Part, turned: F64) -> list[MeshFinding]:
    vertices = (part.solid.vertices @ turned.T).astype(np.float32)
    source = IndexedSource(vertices, part.solid.faces.astype(np.int64))
    found = survey(
        source, part.hasher, overhang_deg=part.limits.overhang_deg, bed_mm=part.limits.layer_mm / 2
    )
    again = Part(source, found, part.limits, seed=part.seed, budget_triangles=source.count)
    outcomes = [
        run_check(identity, check, again, float("inf"))
        for identity, check in CHECKS
        if identity in POSE_CHECKS
    ]
    return sort_findings([finding for outcome in outcomes for finding in outcome.findings])


def _repaired(request: Request, found: Examination, part: Part, target: Path) -> list[str]:
    mended = repair(part.solid, crack_mm=part.limits.crack_mm, fills_holes=request.fills_holes)
    write_stl(mended.solid, target)
    document = found.document["repair"]
    document |= mended.to_dict(part.survey.volume_mm3)
    # The vertices are in mm by now, whatever the file was in.
    order = _order(request, target, target.name)
    after = examine(replace(order, unit="mm"), lambda *_: None).document
    document["verdict_after"] = after["verdict"]
    document["words"].append(f"repair: afterwards it is {verdict_line(after)}")
    return [str(target)]


def _write(directory: Path, found: Examination, name: str) -> list[str]:
    """Write pictures and page; a part that is too big to be indexed has only its report."""
    if found.part is None:
        return []
    try:
        picture = overview(found.part, found.painted, found.document, name)
        content = page(found.part, found.painted, found.document, name, picture)
    except (OverBudgetError, MemoryError):
        return []
    write_bytes(directory / "overview.png", picture)
    write_bytes(directory / "report.html", content)
    return [str(directory / "overview.png"), str(directory / "report.html")]
