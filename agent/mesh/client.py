"""Runs a check in a child process and waits for it without blocking the event loop. Loads neither numpy nor trimesh."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import agent
from agent.mesh.report.document import incomplete
from agent.mesh.request import Request

CHECK_TIMEOUT_S = 900.0  # wall time; a niced check beside a busy machine gets a fraction of a processor
MAX_JSON_BYTES = 4 << 20  # a report holds a bounded number of findings and places
_STDERR_TAIL = 2000
_PROGRESS = re.compile(rb"progress ([a-z_]{1,40}) ([01]\.\d{3})\n")
_REPORT_KEYS = frozenset(
    {"schema", "verdict", "findings", "checks", "counts", "limits_digest", "file", "run"}
)
_SIGNALS = {
    signal.SIGXCPU: "its processor time was used up",
    signal.SIGKILL: "it was killed, probably for memory",
}

Progress = Callable[[str, float], None]
WORKER: tuple[str, ...] = (sys.executable, "-P", "-m", "agent.mesh.worker")


async def run_check(
    request: Request,
    *,
    on_progress: Progress | None = None,
    timeout_s: float = CHECK_TIMEOUT_S,
    worker: Sequence[str] = WORKER,
) -> dict[str, Any]:
    """Return the report (see docs/printability.md). A worker that crashes or exceeds a limit gives `undetermined`.

    `on_progress(step, share)` is called on the event loop. Cancelling kills the child and its group before the
    cancellation goes on.
    """
    asked = replace(request, parent=os.getpid())
    process = await asyncio.create_subprocess_exec(
        *worker,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, complaint, status = await _talk(
                process, json.dumps(asked.to_dict()).encode(), on_progress
            )
    except TimeoutError:
        return incomplete(request.limits, f"it took longer than {timeout_s:g} s")
    finally:
        await _kill(process)
    return _report(request, output, complaint, status)


def _environment() -> dict[str, str]:
    """The least the interpreter needs; nothing of the daemon's own (it may hold secrets).

    One thread: more would take processor time from a print, and their stacks count as address space.
    """
    package_parent = Path(agent.__file__).resolve().parent.parent
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(package_parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


async def _talk(
    process: asyncio.subprocess.Process, request: bytes, on_progress: Progress | None
) -> tuple[bytes, bytes, int]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        return b"", b"no pipes", 1
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its exit status says more
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    async with asyncio.TaskGroup() as group:
        output = group.create_task(_read_result(process.stdout))
        complaint = group.create_task(_read_progress(process.stderr, on_progress))
    return output.result(), complaint.result(), await process.wait()


async def _read_result(stream: asyncio.StreamReader) -> bytes:
    """Read to the end; what is longer than any report is cut, so that it fails as malformed."""
    parts: list[bytes] = []
    size = 0
    while chunk := await stream.read(1 << 16):
        size += len(chunk)
        if size <= MAX_JSON_BYTES:
            parts.append(chunk)
    return b"".join(parts) if size <= MAX_JSON_BYTES else b""


async def _read_progress(stream: asyncio.StreamReader, on_progress: Progress | None) -> bytes:
    """Report progress lines; return the end of everything else."""
    pending, rest = b"", b""
    while chunk := await stream.read(1 << 12):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            found = _PROGRESS.fullmatch(line + b"\n")
            if found is None:
                rest = (rest + line + b"\n")[-_STDERR_TAIL:]
            elif on_progress is not None:
                on_progress(found[1].decode("ascii"), float(found[2]))
        pending = pending[-_STDERR_TAIL:]
    return rest + pending


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the child and whatever it started; nothing happens when it has ended by itself."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


def _report(request: Request, output: bytes, complaint: bytes, status: int) -> dict[str, Any]:
    if status != 0:
        return incomplete(request.limits, _why(status, complaint))
    try:
        report = json.loads(output)["report"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return incomplete(request.limits, "it gave no report")
    if not isinstance(report, dict) or not set(report) >= _REPORT_KEYS:
        return incomplete(request.limits, "it gave no report")
    if report["limits_digest"] != request.limits.digest:
        return incomplete(request.limits, "it checked against other limits")
    return report


def _why(status: int, complaint: bytes) -> str:
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    last = lines[-1][:120] if lines else ""
    if "MemoryError" in last:
        return "it needed more memory than it may have"
    with contextlib.suppress(ValueError):
        number = signal.Signals(-status)
        return _SIGNALS.get(number, f"it ended by {number.name}")
    return f"it ended with status {status}{f': {last}' if last else ''}"
