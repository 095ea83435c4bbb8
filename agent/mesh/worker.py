"""The check as a child process: `python -m agent.mesh.worker`, request on stdin, report on stdout.

A mesh comes from outside, so it is read by a process with bounded memory and time, little priority and no way to block
the daemon; numpy and trimesh are loaded here and nowhere else. Request: see `agent.mesh.request`. Result, one JSON
document: `{"report"}`. Progress: lines `progress STEP SHARE` on stderr.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from typing import TextIO

from agent.mesh.request import Request
from agent.worker.limits import die_with, lower, yield_to_everything_else
from agent.worker.progress import ProgressWriter

_MAX_FILE_BYTES = 512 << 20  # of a repaired mesh or a report
_PROGRESS_EVERY_S = 0.25
_CPU_SPARE_S = 5


def main(stdin: TextIO = sys.stdin, stdout: TextIO = sys.stdout, stderr: TextIO = sys.stderr) -> int:
    """Run one request; exit status 0 when a report was written."""
    request = Request.from_dict(json.load(stdin))
    limit_process(request)
    # Imported under the limits: what numpy takes counts.
    from agent.mesh.answer import answer  # noqa: PLC0415

    report = answer(request, _reporter(stderr))
    stdout.write(json.dumps({"report": report}, separators=(",", ":"), allow_nan=False))
    stdout.flush()
    return 0


def limit_process(request: Request) -> None:
    """Bound memory, processor time and file size of this process, and make it yield to everything else."""
    if request.parent:
        die_with(request.parent)
    yield_to_everything_else()
    lower(resource.RLIMIT_AS, request.memory_bytes)
    lower(resource.RLIMIT_CPU, int(request.cpu_s) + 1, spare=_CPU_SPARE_S)
    lower(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    lower(resource.RLIMIT_CORE, 0)


def _reporter(stderr: TextIO) -> Callable[[str, float], None]:
    writer = ProgressWriter(stderr, _PROGRESS_EVERY_S)
    return lambda step, share: writer.write(f"{step} {share:.3f}")


if __name__ == "__main__":
    sys.exit(main())
