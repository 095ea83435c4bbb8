"""Runs the gate in a child process and waits for it without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import agent
from agent.domain.artefact import Prepared
from agent.domain.errors import ArtefactError, FabunitError, StorageError
from agent.domain.profile import PrinterProfile
from agent.gcode.prepared_json import MAX_JSON_BYTES, from_json, profile_to_json

GATE_TIMEOUT_S = 1800.0  # 300 MB on the slowest supported board take about a tenth of this
_STDERR_TAIL = 2000
_PROGRESS = re.compile(rb"progress (\d{1,15}) (\d{1,15})\n")
_ERRORS: dict[str, type[FabunitError]] = {"ArtefactError": ArtefactError, "StorageError": StorageError}

Progress = Callable[[int, int], None]
WORKER: tuple[str, ...] = (sys.executable, "-P", "-m", "agent.gcode.worker")


async def run_prepare(
    source: Path,
    out_dir: Path,
    profile: PrinterProfile,
    dialect: str,
    *,
    on_progress: Progress | None = None,
    timeout_s: float = GATE_TIMEOUT_S,
    worker: Sequence[str] = WORKER,
) -> Prepared:
    """Return the gate's result for `source`; see `agent.gcode.prepare.prepare` for what is left in `out_dir`.

    `on_progress(done_bytes, size_bytes)` is called on the event loop. Raises what `prepare` raises, and FabunitError
    with code gate_crashed or gate_timeout. Cancelling kills the child and its group before the cancellation goes on.
    """
    request = {
        "source": str(source),
        "out_dir": str(out_dir),
        "profile": profile_to_json(profile),
        "dialect": dialect,
        "cpu_s": int(timeout_s) + 1,
    }
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
            output, complaint, status = await _talk(process, json.dumps(request).encode("ascii"), on_progress)
    except TimeoutError:
        raise FabunitError(
            f"checking the G-code took longer than {timeout_s:g} s and was stopped",
            code="gate_timeout",
            remedy="try again while nothing else runs, or split the file",
        ) from None
    finally:
        await _kill(process)
    return _result(output, complaint, status, out_dir)


def _environment() -> dict[str, str]:
    """The least the interpreter needs; nothing of the daemon's own (it may hold secrets)."""
    package_parent = Path(agent.__file__).resolve().parent.parent
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(package_parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",  # numpy would take address space for a thread per processor
    }


async def _talk(
    process: asyncio.subprocess.Process, request: bytes, on_progress: Progress | None
) -> tuple[bytes, bytes, int]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise FabunitError("the gate has no pipes", code="gate_crashed")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its exit status says more
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    async with asyncio.TaskGroup() as group:
        output = group.create_task(_read_result(process.stdout))
        complaint = group.create_task(_read_progress(process.stderr, on_progress))
    return output.result(), complaint.result(), await process.wait()


async def _read_result(stream: asyncio.StreamReader) -> bytes:
    """Read to the end; what is longer than any result is cut, so that it fails as malformed."""
    parts: list[bytes] = []
    size = 0
    while chunk := await stream.read(1 << 16):
        size += len(chunk)
        if size <= MAX_JSON_BYTES:
            parts.append(chunk)
    return b"".join(parts) if size <= MAX_JSON_BYTES else b""


async def _read_progress(stream: asyncio.StreamReader, on_progress: Progress | None) -> bytes:
    """Report progress lines; return the end of everything else, for the error message."""
    pending, rest = b"", b""
    while chunk := await stream.read(1 << 12):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            found = _PROGRESS.fullmatch(line + b"\n")
            if found is None:
                rest = (rest + line + b"\n")[-_STDERR_TAIL:]
            elif on_progress is not None:
                on_progress(int(found[1]), int(found[2]))
        pending = pending[-_STDERR_TAIL:]
    return rest + pending


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the child and whatever it started; nothing happens when it has ended by itself."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


def _result(output: bytes, complaint: bytes, status: int, out_dir: Path) -> Prepared:
    if status != 0:
        raise _crashed(f"ended with status {status}", complaint)
    try:
        document = json.loads(output)
        if "error" in document:
            error = document["error"]
            kind = _ERRORS.get(error["kind"], FabunitError)
            raise kind(str(error["message"]), code=str(error["code"]), remedy=str(error["remedy"]))
        prepared = from_json(json.dumps(document["prepared"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _crashed(f"gave no result ({type(error).__name__})", complaint) from None
    path = out_dir / f"{prepared.sha256}.gcode"
    if prepared.is_printable and (not path.is_file() or path.stat().st_size != prepared.size):
        raise _crashed("left no prepared file", complaint)
    return prepared


def _crashed(what: str, complaint: bytes) -> FabunitError:
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    last = f": {lines[-1][:200]}" if lines else ""
    return FabunitError(
        f"the G-code check {what}{last}",
        code="gate_crashed",
        remedy="retry the job; if it stays, report the file",
    )
