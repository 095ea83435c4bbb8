"""Gate and analysis as a child process: `python -m agent.gcode.worker`, request on stdin, result on stdout.

A G-code file comes from outside, so it is read by a process with little memory, little priority and no way to block
the daemon. Request: `{"source", "out_dir", "profile", "dialect", "cpu_s", "parent"}`; `parent` is the process with
which it ends, absent for none. Result, one JSON document: `{"prepared"}` or `{"error": {"kind", "code", "message",
"remedy"}}`. Progress: lines `progress DONE SIZE` in bytes on stderr. A file that cannot be
analysed to its end gives no result, so it is never printed.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from agent.domain.artefact import Prepared
from agent.domain.errors import FabunitError
from agent.domain.profile import PrinterProfile
from agent.gcode.analysed import with_analysis
from agent.gcode.follower import Follower
from agent.gcode.move_model import NoModel
from agent.gcode.prepare import Progress, prepare
from agent.gcode.prepared_json import profile_from_json, to_json
from agent.gcode.scan import OFFSET_STEP
from agent.worker.limits import die_with, lower, peak_memory_bytes, yield_to_everything_else
from agent.worker.progress import ProgressWriter

MAX_MEMORY_BYTES = 512 << 20  # of address space; gate and analysis stay below 100 MiB resident
_GROWTH = 2  # inserting blanks into `G1X1Y1` makes a file longer, never twice as long
_SPARE_BYTES = 1 << 20


def main(stdin: TextIO = sys.stdin, stdout: TextIO = sys.stdout, stderr: TextIO = sys.stderr) -> int:
    """Run one request; exit status 0 when a result or a typed error was written."""
    request = json.load(stdin)
    source = Path(request["source"])
    if parent := int(request.get("parent", 0)):
        die_with(parent)
    limit_process(source, int(request["cpu_s"]))
    try:
        prepared = check_and_analyse(
            source,
            Path(request["out_dir"]),
            profile_from_json(request["profile"]),
            request["dialect"],
            _reporter(stderr),
        )
    except FabunitError as error:
        json.dump({"error": {"kind": type(error).__name__, **error.to_dict()}}, stdout)
    else:
        prepared = replace(prepared, summary={**prepared.summary, "peak_memory_bytes": peak_memory_bytes()})
        stdout.write(f'{{"prepared":{to_json(prepared)}}}')
    stdout.flush()
    return 0


def check_and_analyse(
    source: Path, out_dir: Path, profile: PrinterProfile, dialect: str, on_progress: Progress
) -> Prepared:
    """Run the gate and, on the way, analyse what it lets through; a refused file has only the gate's rough figures.

    Raises what `prepare` raises.
    """
    follower = Follower(profile, dialect, step=OFFSET_STEP)
    prepared = prepare(
        source, out_dir, profile, dialect, on_progress, model=NoModel(), on_lines=follower.take
    )
    return with_analysis(prepared, follower.result()) if prepared.is_printable else prepared


def limit_process(source: Path, cpu_s: int) -> None:
    """Bound memory, processor time and file size of this process, and make it yield to everything else."""
    yield_to_everything_else()
    with contextlib.suppress(OSError):
        lower(resource.RLIMIT_FSIZE, _GROWTH * source.stat().st_size + _SPARE_BYTES)
    lower(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    lower(resource.RLIMIT_CPU, cpu_s)
    lower(resource.RLIMIT_CORE, 0)


def _reporter(stderr: TextIO) -> Progress:
    writer = ProgressWriter(stderr)

    def report(done_bytes: int, size_bytes: int) -> None:
        writer.write(f"{done_bytes} {size_bytes}", is_last=done_bytes >= size_bytes)

    return report


if __name__ == "__main__":
    sys.exit(main())
