"""The analysis of G-code beside OctoPrint's and Moonraker's; prints a Markdown table.

`python -m benchmarks.gcode_analysis [--own] [FILE...]`; without files the demo's part as its slicer wrote it, and a
million lines of it; with `--own` ten million lines too, and nobody else's tools. A loop that does nothing but read the
lines tells how fast the machine was meanwhile. OctoPrint is looked for in the environment that `benchmarks.peers`
makes, Moonraker's `metadata.py` (one file, it needs pillow) as `~/.cache/fabunit-bench/moonraker/metadata.py`; what is
missing is left out. Processor seconds and peak memory of the whole process each; "above" is what the peak is above the
bare interpreter with numpy.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import paths
from agent.gcode.prepared_json import profile_to_json
from agent.slicing.profiles import load_profile
from benchmarks.board import cache_dir

LONG_LINES = 1_000_000
HUGE_LINES = 10_000_000
PROFILE = "generic-220"
_BARE = """
import sys
count = 0
with open(sys.argv[1], "rb") as file:
    for line in file:
        count += line[0] == 71
print(count)
"""
_COMMON = """
import sys, tempfile
from pathlib import Path
from agent.gcode.prepared_json import profile_from_json
profile = profile_from_json(sys.argv[2])
"""
_WORKER = (
    _COMMON
    + """
from agent.gcode.worker import check_and_analyse
with tempfile.TemporaryDirectory() as folder:
    done = check_and_analyse(Path(sys.argv[1]), Path(folder), profile, "marlin", lambda *_: None)
print("seconds", done.metadata.estimate_s)
"""
)
_ANALYSIS = (
    _COMMON
    + """
from agent.gcode.analysis.analyser import analyse_file
print("seconds", analyse_file(Path(sys.argv[1]), profile, "marlin").seconds)
"""
)
"""Both as the worker of the daemon has it: the profile comes as JSON, validated long before."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What is run, and how its answer for the time is read: a pattern and seconds per unit."""

    name: str
    command: list[str]
    answer: str
    unit_s: float = 1.0


def main() -> None:
    """Measure and print."""
    arguments = sys.argv[1:]
    is_own = "--own" in arguments
    files = [Path(argument) for argument in arguments if argument != "--own"]
    with tempfile.TemporaryDirectory() as folder:
        part = paths.demo_part()
        lengths = [LONG_LINES, HUGE_LINES] if is_own else [LONG_LINES]
        files = files or [part, *(_long(Path(folder), part, lines) for lines in lengths)]
        print("| file | tool | CPU s | lines per CPU s | peak MiB | above | time, s |")
        print("|---|---|---|---|---|---|---|")
        for path in files:
            _print_rows(path, is_own=is_own)


def _print_rows(path: Path, *, is_own: bool) -> None:
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    _, bare_mib, _ = measure([sys.executable, "-c", "import numpy"])
    for tool in tools(path, is_own=is_own):
        cpu_s, peak_mib, output = measure(tool.command)
        found = re.search(tool.answer, output)
        seconds = float(found[1]) * tool.unit_s if found else None
        told = "" if seconds is None else f"{seconds:.0f}"
        print(
            f"| {path.name}, {lines:,} lines | {tool.name} | {cpu_s:.2f} | {lines / cpu_s:,.0f} | {peak_mib:.0f} "
            f"| {peak_mib - bare_mib:.0f} | {told} |",
            flush=True,
        )


def tools(path: Path, *, is_own: bool) -> Iterator[Tool]:
    """Yield what is here; `is_own`: only ours."""
    yield Tool("a bare loop", [sys.executable, "-c", _BARE, str(path)], r"seconds ([\d.]+)")
    profile = profile_to_json(load_profile(PROFILE, paths.profiles_dirs()))
    for name, code in (("gate and analysis", _WORKER), ("analysis", _ANALYSIS)):
        command = [sys.executable, "-c", code, str(path), profile]
        yield Tool(f"fabunit: {name}", command, r"seconds ([\d.]+)")
    if is_own:
        return
    octoprint = cache_dir() / "octoprint" / "bin" / "octoprint"
    if octoprint.is_file():
        command = [str(octoprint), "analysis", "gcode", str(path)]
        yield Tool("OctoPrint, unthrottled", command, r"total_time: ([\d.]+)", 60.0)
    moonraker = cache_dir() / "moonraker" / "metadata.py"
    if moonraker.is_file():
        command = [sys.executable, str(moonraker), "-f", path.name, "-p", str(path.parent)]
        yield Tool("Moonraker, reads comments only", command, r'"estimated_time": ([\d.]+)')


def measure(command: list[str]) -> tuple[float, float, str]:
    """Run a command; return its processor seconds, peak resident memory in MiB, and what it wrote."""
    # pip compiles what it installs; a checkout is compiled by its first start, into a folder of the benchmarks'.
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPYCACHEPREFIX": str(cache_dir() / "bytecode"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


def _long(folder: Path, part: Path, lines: int) -> Path:
    """Write the part's layers again and again between its start and its end: a file of so many lines."""
    data = part.read_bytes()
    first, last = data.find(b";LAYER_CHANGE"), data.rfind(b";LAYER_CHANGE")
    layers = data[first:last]
    path = folder / f"long-{lines}.gcode"
    with path.open("wb") as file:
        file.write(data[:first])
        for _ in range(lines // layers.count(b"\n") + 1):
            file.write(layers)
        file.write(data[last:])
    return path


if __name__ == "__main__":
    main()
