"""How long prints take beside what was foretold: real sliced files, streamed by the real daemon to the virtual printer.

`python -m benchmarks.print_time [FILE...] [--speed X] [--engine NAME] [--quality NAME]`: meshes, which the unit checks
and slices itself, or G-code; without files the demo's part and ten parts that are made here, with the installed engines
in turn. The printer's profile has the virtual printer's own limits.

Foretold is the job's estimate when it was ready; printed is what the virtual printer measured from the first move to
the last, in seconds of the modelled machine, without the time it stood still to heat and to home (the estimate has
neither). The virtual printer is true to life as long as its planner does not run dry: that share is shown. Some
three minutes at the speed it is run with by default.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import paths
from agent.jobs.mesh_formats import MESH_FORMATS
from agent.slicing.engines import find_engines
from benchmarks.bench_unit import HERE, BenchUnit
from benchmarks.parts import made_parts
from benchmarks.simulated import VirtualPrinter

SPEED = 25.0
"""Times life. Faster, two shared cores do not keep the planner full through the shortest segments."""
BOARD = """[motion]
max_speed_mm_s = { x = 300, y = 300, z = 5, e = 25 }
max_acceleration_mm_s2 = { x = 3000, y = 3000, z = 100, e = 10000 }
junction_deviation_mm = 0.013
"""
"""The limits that `fabunit simulate` has: Marlin's defaults, with junction deviation."""
WIDE_WINDOW = "window_lines = 64\nwindow_bytes = 4000\n"
"""The virtual printer has no wire here (native USB), which holds the host back by itself."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One print; seconds of the modelled machine. `dry_s`: how long its planner stood dry."""

    name: str
    made_by: str
    lines: int
    foretold_s: float
    printed_s: float
    dry_s: float

    @property
    def deviation(self) -> float:
        """How much more was foretold than it took, as a share."""
        return self.foretold_s / self.printed_s - 1.0

    def row(self) -> str:
        """Return the line of the table."""
        return (
            f"| {self.name} | {self.made_by} | {self.lines:,} | {self.foretold_s:.1f} | {self.printed_s:.1f} "
            f"| {100 * self.deviation:+.2f} | {100 * self.dry_s / self.printed_s:.3f} |"
        )


def main() -> None:
    """Print and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--speed", type=float, default=SPEED)
    parser.add_argument("--engine", action="append", help="of meshes; several take turns")
    parser.add_argument("--quality", default="draft")
    arguments = parser.parse_args()
    print("| file | made by | lines | foretold, s | printed, s | deviation, % | planner dry, % |")
    print("|---|---|---|---|---|---|---|")
    engines = arguments.engine or [
        found.name for _, found in asyncio.run(find_engines()) if found.is_supported
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files or [paths.demo_part(), *(made_parts(Path(folder)) if engines else ())]
        found: list[Timed] = []
        for engine, batch in turns(files, engines or ["none"]):
            for timed in print_all(batch, engine, arguments.speed, arguments.quality):
                print(timed.row(), flush=True)
                found.append(timed)
    worst = max(found, key=lambda timed: abs(timed.deviation))
    total = sum(timed.foretold_s for timed in found) / sum(timed.printed_s for timed in found) - 1
    print(f"\n{len(found)} prints at {arguments.speed:g} times life: {100 * total:+.2f} % in all, ", end="")
    print(f"at most {100 * worst.deviation:+.2f} % ({worst.name})")


def turns(files: Sequence[Path], engines: Sequence[str]) -> list[tuple[str, list[Path]]]:
    """Give every engine its share of the files; each needs a unit of its own."""
    return [(engine, list(files[index :: len(engines)])) for index, engine in enumerate(engines)]


def print_all(files: Iterable[Path], engine: str, speed: float, quality: str = "draft") -> list[Timed]:
    """Print files one after the other with one unit. Raises RuntimeError for one that was not completed."""
    with tempfile.TemporaryDirectory(prefix="fabunit-bench-") as folder:
        with (
            VirtualPrinter(Path(folder), ("--speed", f"{speed:g}")) as printer,
            BenchUnit(
                printer.port,
                "virtual",
                profile_text=profile_text(),
                config_text=f'[slicing]\nengine = "{engine}"\n',
            ) as unit,
        ):
            jobs = [_printed(unit, path, quality) for path in files]
        statistics = printer.statistics()
    # A job has a numbering of its own; between jobs nothing moves.
    records = [record for record in statistics["prints"] if record["moves"]]
    if len(records) != len(jobs):
        raise RuntimeError(f"{len(jobs)} jobs, but the printer saw {len(records)} prints")
    return [_timed(job, record, engine, speed) for job, record in zip(jobs, records, strict=True)]


def _printed(unit: BenchUnit, path: Path, quality: str) -> dict[str, Any]:
    is_mesh = path.suffix.lower().lstrip(".") in MESH_FORMATS
    job = unit.print_file(path, **({"material": "pla", "quality": quality} if is_mesh else {}))
    if job["state"] != "completed":
        raise RuntimeError(f"{path.name} is {job['state']}: {job['detail']}")
    return job


def _timed(job: dict[str, Any], record: dict[str, Any], engine: str, speed: float) -> Timed:
    return Timed(
        name=job["name"],
        made_by=engine if job.get("mesh") else "as it came",
        lines=record["lines"],
        foretold_s=job["estimate_s"],
        printed_s=(record["actual_s"] - record["standing_s"]) * speed,
        dry_s=record["starvation_ms"] / 1000 * speed,
    )


def profile_text() -> str:
    """Return generic-220 with the limits of the virtual printer and the window of a board on USB."""
    text = (HERE.parent / "slicer_profiles" / "printers" / "generic-220.toml").read_text()
    head, _, rest = text.partition("[motion]\n")
    _, _, after = rest.partition("[park]\n")
    return (head + BOARD + "\n[park]\n" + after).replace("[connection]\n", f"[connection]\n{WIDE_WINDOW}")


if __name__ == "__main__":
    main()
