"""Lowers what this process may use, then becomes the slicer: `python -m agent.slicing.launcher LIMITS PROGRAM ARGS…`.

A slicer is large foreign code fed with data from outside. Everything set here survives the exec: limits of memory,
processor time, file size and descriptors, lowest priority for processor and disk, first choice of the kernel when
memory runs out, and death together with the daemon. LIMITS is JSON: `{"memory_bytes", "cpu_s", "file_bytes",
"parent", "env"}`; `parent` is the daemon's process id.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import sys

from agent.worker.limits import die_with, lower, yield_to_everything_else

MAX_FILES = 256
_PR_SET_NO_NEW_PRIVS = 38
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "armv7l": 314}
_IOPRIO_IDLE = 3 << 13
_IOPRIO_WHO_PROCESS = 1
EXEC_FAILED = 127


def main(arguments: list[str]) -> int:
    """Set the limits and exec; returns only when the program cannot be started."""
    limits = json.loads(arguments[0])
    program = arguments[1:]
    # Told by the daemon: whose child this is may have changed while the interpreter started.
    parent = int(limits.get("parent", os.getppid()))
    yield_to_everything_else()
    _leave_the_disk_to_others()
    die_with(parent)
    _gain_nothing()
    for limit, value in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        lower(limit, int(value))
    try:
        os.execve(program[0], program, limits["env"])  # noqa: S606 - no shell on purpose
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
        return EXEC_FAILED


def _leave_the_disk_to_others() -> None:
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)


def _gain_nothing() -> None:
    """No program that it starts gets more rights than this one has."""
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
