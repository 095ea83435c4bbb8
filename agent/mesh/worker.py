"""The check as a child process: `python -m agent.mesh.worker`, request on stdin, report on stdout.

A mesh comes from outside, so it is read by a process with bounded memory and time, little priority and no way to block
the daemon; numpy and trimesh are loaded here and nowhere else. Request: see `agent.mesh.request`. Result, one JSON
document: `{"report"}`. Progress: lines `progress STEP SHARE` on stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from agent.mesh.request import Request

NICENESS = 15  # a print on the same machine goes first
_OOM_SCORE = "800"  # if memory runs out, the kernel should take this process, not the daemon
_MAX_FILE_BYTES = 512 << 20  # of a repaired mesh or a report
_PROGRESS_EVERY_S = 0.25
_CPU_SPARE_S = 5
_PR_SET_PDEATHSIG = 1


def main(stdin: TextIO = sys.stdin, stdout: TextIO = sys.stdout, stderr: TextIO = sys.stderr) -> int:
    """Run one request; exit status 0 when a report was written."""
    request = Request.from_dict(json.load(stdin))
    limit_process(request)
    # Imported under the limits: what numpy takes counts.
    from agent.mesh.answer import answer  # noqa: PLC0415

    report = answer(request, _Reporter(stderr))
    stdout.write(json.dumps({"report": report}, separators=(",", ":"), allow_nan=False))
    stdout.flush()
    return 0


def limit_process(request: Request) -> None:
    """Bound memory, processor time and file size of this process, and make it yield to everything else."""
    if request.parent:
        _die_with(request.parent)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    _lower(resource.RLIMIT_AS, request.memory_bytes)
    _lower(resource.RLIMIT_CPU, int(request.cpu_s) + 1, spare=_CPU_SPARE_S)
    _lower(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    _lower(resource.RLIMIT_CORE, 0)


def _die_with(parent: int) -> None:
    """End together with the process that asked: the next daemon begins anew and needs the machine for that.

    Told by number, because whose child this is may have changed while the interpreter started.
    """
    with contextlib.suppress(OSError, MemoryError):  # a hardened unit may not let ctypes call into libc
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _lower(limit: int, value: int, *, spare: int = 0) -> None:
    """Set a limit; with `spare` the hard one lies higher, so that the signal tells which limit it was."""
    _, hard = resource.getrlimit(limit)
    ceiling = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
    resource.setrlimit(limit, (min(value, ceiling), ceiling))


class _Reporter:
    """Writes progress lines, and ends the process when the one that started it is gone."""

    def __init__(self, stderr: TextIO) -> None:
        self._stderr = stderr
        self._parent = os.getppid()
        self._next_s = 0.0

    def __call__(self, step: str, share: float) -> None:
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + _PROGRESS_EVERY_S
        if os.getppid() != self._parent:
            raise SystemExit(1)
        self._stderr.write(f"progress {step} {share:.3f}\n")
        self._stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
