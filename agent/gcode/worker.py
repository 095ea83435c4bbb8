"""Gate and analysis as a child process: `python -m agent.gcode.worker`, request on stdin, result on stdout.

A G-code file comes from outside, so it is read by a process with little memory, little priority and no way to block
the daemon. Request: `{"source", "out_dir", "profile", "dialect", "cpu_s"}`. Result, one JSON document: `{"prepared"}`
or `{"error": {"kind", "code", "message", "remedy"}}`. Progress: lines `progress DONE SIZE` in bytes on stderr, for both
passes together. A file that cannot be analysed to its end gives no result, so it is never printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from agent.domain.artefact import Prepared
from agent.domain.errors import FabunitError, StorageError
from agent.domain.profile import PrinterProfile
from agent.gcode.analysed import with_analysis
from agent.gcode.move_model import NoModel
from agent.gcode.prepare import Progress, prepare
from agent.gcode.prepared_json import profile_from_json, to_json

MAX_MEMORY_BYTES = 512 << 20  # of address space; gate and analysis stay below 100 MiB resident
NICENESS = 15  # a print on the same machine goes first
_OOM_SCORE = "800"  # if memory runs out, the kernel should take this process, not the daemon
_PROGRESS_EVERY_S = 0.5
_GROWTH = 2  # inserting blanks into `G1X1Y1` makes a file longer, never twice as long
_SPARE_BYTES = 1 << 20


def main(stdin: TextIO = sys.stdin, stdout: TextIO = sys.stdout, stderr: TextIO = sys.stderr) -> int:
    """Run one request; exit status 0 when a result or a typed error was written."""
    request = json.load(stdin)
    source = Path(request["source"])
    limit_process(source, int(request["cpu_s"]))
    try:
        prepared = check_and_analyse(
            source,
            Path(request["out_dir"]),
            profile_from_json(request["profile"]),
            request["dialect"],
            _Reporter(stderr),
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
    """Run the gate, then analyse what it would stream; a refused file has only the gate's rough figures.

    Raises what `prepare` raises, StorageError when the prepared file cannot be read again.
    """
    size = max(source.stat().st_size, 1) if source.is_file() else 1
    try:
        prepared = prepare(
            source,
            out_dir,
            profile,
            dialect,
            lambda done, _size: on_progress(done // 2, size),
            model=NoModel(),
        )
        if not prepared.is_printable:
            return prepared
        # Here, so that a process that only wants the types of this module has no need of numpy.
        from agent.gcode.analysis.analyser import analyse_file  # noqa: PLC0415

        analysis = analyse_file(
            out_dir / f"{prepared.sha256}.gcode",
            profile,
            dialect,
            step=prepared.offset_step,
            on_progress=lambda done: on_progress(min(size, (size + done) // 2), size),
        )
        on_progress(size, size)
    except OSError as error:
        raise StorageError(f"cannot analyse {source.name}: {error.strerror or error}") from error
    return with_analysis(prepared, analysis)


def limit_process(source: Path, cpu_s: int) -> None:
    """Bound memory, processor time and file size of this process, and make it yield to everything else."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    with contextlib.suppress(OSError):
        file_bytes = _GROWTH * source.stat().st_size + _SPARE_BYTES
        _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    _lower(resource.RLIMIT_CPU, cpu_s)
    _lower(resource.RLIMIT_CORE, 0)


def peak_memory_bytes() -> int:
    """Return the most resident memory this process had; getrusage would count its parent before the exec too."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


class _Reporter:
    """Writes progress lines, and ends the process when the daemon that started it is gone."""

    def __init__(self, stderr: TextIO) -> None:
        self._stderr = stderr
        self._parent = os.getppid()
        self._next_s = 0.0

    def __call__(self, done_bytes: int, size_bytes: int) -> None:
        now = time.monotonic()
        if now < self._next_s and done_bytes < size_bytes:
            return
        self._next_s = now + _PROGRESS_EVERY_S
        if os.getppid() != self._parent:
            raise SystemExit(1)
        self._stderr.write(f"progress {done_bytes} {size_bytes}\n")
        self._stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
