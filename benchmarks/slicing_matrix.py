"""Meshes, printer classes and engines, each with each: does all G-code pass the gate, are the times right?

`python -m benchmarks.slicing_matrix [FILE...] [--quality NAME] [--printer NAME]` prints one line per slice as a
Markdown table, then a summary, and ends with 1 when one was refused. Without files: eleven real parts where the mesh
corpus is at hand ($FABUNIT_CORPUS), else ten that are made here. The engine's own promise is read from its comments.
PrusaSlicer knows one rule for corners, classic jerk; for a printer with another rule a second figure compares our time
by PrusaSlicer's rule. The virtual printer's time is that of its planner, which shares no code with the analysis; both
with the virtual printer's own limits and those of the file, for the printers with its rule for corners. Some fifteen
minutes for the real parts, four for the others.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.domain.artefact import Severity
from agent.domain.errors import FabunitError
from agent.domain.profile import PrinterProfile
from agent.gcode.analysis.analyser import analyse_blocks
from agent.jobs.stages.mesh_words import facts_of
from agent.jobs.stages.workshop import check_limits, with_supports
from agent.mesh.client import run_check
from agent.mesh.request import Request
from agent.paths import profiles_dirs
from agent.slicing.engine import Engine, FoundEngine, Version, version_in
from agent.slicing.engines import find_engines
from agent.slicing.profiles import load_profile
from agent.slicing.prusaslicer_ini import render
from agent.slicing.setup import PrintSetup, load_setup
from agent.slicing.slicer import SliceOrder, SliceResult, slice_mesh
from benchmarks.parts import made_parts, real_parts
from tests.unit.gcode.sim_clock import ideal_seconds

VIRTUAL = replace(
    load_profile("generic-220", profiles_dirs()),
    jerk_mm_s={},
    junction_deviation_mm=0.013,
    max_speed_mm_s={"x": 300.0, "y": 300.0, "z": 5.0, "e": 25.0},
    max_acceleration_mm_s2={"x": 3000.0, "y": 3000.0, "z": 100.0, "e": 10000.0},
)
"""The virtual printer's limits before a file changes them: Marlin's defaults with junction deviation."""
PLANNED_ON = ("generic-220", "corexy-300")
_CUT_OFF_S = 0.5
"""PrusaSlicer cuts its time to whole seconds (get_time_dhms, 2.5): half a second is lost on average."""
PRINTERS = ("generic-220", "prusa-mk3s", "ender-3", "corexy-300", "mini-120")


@dataclass(frozen=True, slots=True)
class Slice:
    """One cell of the matrix: `problem` is empty when the gate let it pass; deviations in percent of the other."""

    mesh: str
    printer: str
    engine: str
    version: str
    problem: str
    seconds: float = 0.0
    from_engine: float | None = None
    from_same_rule: float | None = None
    from_planner: float | None = None
    warnings: int = 0

    def row(self) -> str:
        """Return the line of the table."""
        shown = [
            f"{value:+.2f}" if value is not None else ""
            for value in (self.from_engine, self.from_same_rule, self.from_planner)
        ]
        passed = self.problem or ("yes" if not self.warnings else f"yes, {self.warnings} warnings")
        return (
            f"| {self.mesh} | {self.printer} | {self.engine} | {passed} | {self.seconds:.0f} "
            f"| {' | '.join(shown)} |"
        )


def main() -> None:
    """Slice and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--quality", default="draft")
    parser.add_argument("--printer", action="append", choices=PRINTERS)
    arguments = parser.parse_args()
    print(
        "| mesh | printer | engine | passes the gate | time, s | from the engine's, % | by its rule for corners, % "
        "| from the planner's, % |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files or real_parts() or made_parts(Path(folder))
        found = asyncio.run(matrix(files, arguments.printer or PRINTERS, arguments.quality))
    told = [one for one in found if one.problem]
    engines = sorted({(one.engine, one.version) for one in found})
    versions = ", ".join(" ".join(pair) for pair in engines)
    print(f"\n{len(found)} slices with {versions}: {len(found) - len(told)} pass")
    for name in sorted({path.name for path in files} - {one.mesh for one in found}):
        print(f"{name} fits none of the printers")
    for engine, _ in engines:
        for printer in arguments.printer or PRINTERS:
            _summary([one for one in found if (one.engine, one.printer) == (engine, printer)])
    sys.exit(1 if told else 0)


def _summary(found: list[Slice]) -> None:
    for what, values in (
        ("from the engine's own time", [one.from_engine for one in found if one.from_engine is not None]),
        ("by its rule for corners", [one.from_same_rule for one in found if one.from_same_rule is not None]),
        ("from the planner's time", [one.from_planner for one in found if one.from_planner is not None]),
    ):
        if values:
            print(f"{found[0].engine}, {found[0].printer}: {what} {min(values):+.2f} … {max(values):+.2f} %")


async def matrix(files: list[Path], printers: tuple[str, ...] | list[str], quality: str) -> list[Slice]:
    """Slice everything with everything."""
    found: list[Slice] = []
    engines = [pair for pair in await find_engines() if pair[1].is_supported]
    for path in files:
        for printer in printers:
            with tempfile.TemporaryDirectory() as folder:
                found += await _row(path, printer, quality, engines, Path(folder))
    return found


async def _row(
    path: Path, printer: str, quality: str, engines: list[tuple[Engine, FoundEngine]], folder: Path
) -> list[Slice]:
    setup = load_setup(printer, "pla", quality, profiles_dirs())
    mesh = folder / "mesh.stl"
    report: dict[str, Any] = await run_check(Request(path, path.name, check_limits(setup), repair_to=mesh))
    fits = not any(one["id"] == "size.fits_bed" for one in report["findings"])
    done: list[Slice] = []
    for engine, seen in engines if fits and mesh.is_file() else []:
        order = SliceOrder(
            mesh, with_supports(setup, report), folder / "out.gcode", folder, folder, facts=facts_of(report)
        )
        try:
            result = await slice_mesh(order, engine, seen)
        except FabunitError as error:
            done.append(
                Slice(path.name, printer, seen.name, seen.version_text, f"{error.code}: {error.message}")
            )
        else:
            done.append(await asyncio.to_thread(_measured, path.name, order.setup, result))
        print(done[-1].row(), flush=True)
    return done


def _measured(mesh: str, setup: PrintSetup, result: SliceResult) -> Slice:
    text = result.gcode.read_text()
    ours = result.prepared.metadata.estimate_s or 0.0
    promised = result.prepared.summary.get("slicer_estimate_s")
    if promised and result.engine == "prusaslicer":
        promised += _CUT_OFF_S
    same_rule = planned = None
    version = version_in(result.engine_version)
    if promised and version and result.engine == "prusaslicer":
        as_told = analyse_blocks([text.encode()], _by_jerk(setup, version), "marlin")
        same_rule = (as_told.seconds / promised - 1) * 100
    if setup.printer in PLANNED_ON:
        modelled = analyse_blocks([text.encode()], VIRTUAL, "marlin").seconds
        planned = (modelled / ideal_seconds(text) - 1) * 100
    return Slice(
        mesh,
        setup.printer,
        result.engine,
        result.engine_version,
        "",
        ours,
        (ours / promised - 1) * 100 if promised else None,
        same_rule,
        planned,
        sum(finding.severity is Severity.WARNING for finding in result.prepared.findings),
    )


def _by_jerk(setup: PrintSetup, version: Version) -> PrinterProfile:
    """Return the printer as PrusaSlicer is told about it: with classic jerk, whatever its own rule for corners."""
    settings = render(setup, version)
    jerk = {axis: float(settings[f"machine_max_jerk_{axis}"].split(",")[0]) for axis in "xyze"}
    return replace(setup.profile, jerk_mm_s=jerk, junction_deviation_mm=None)


if __name__ == "__main__":
    main()
