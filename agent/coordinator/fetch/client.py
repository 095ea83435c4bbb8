"""Runs one download in a child process and waits for it without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import agent
from agent.coordinator.fetch.order import FetchOrder
from agent.domain.errors import StorageError
from agent.domain.fetching import FetchError

WORKER: tuple[str, ...] = (sys.executable, "-P", "-m", "agent.coordinator.fetch.worker")
# Beyond the attempt's own end: for names that resolve slowly, hashing what was there, and decrypting.
GRACE_S = 600.0
_MAX_RESULT_BYTES = 1 << 16
_STDERR_TAIL = 2000
_PROGRESS = re.compile(rb"progress (\d{1,15}) (\d{1,15})")
# The places of certificate authorities may be set for the daemon; nothing else of its environment passes.
_PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete, proven, flushed file at `path`; `received_bytes` came over the wire in this attempt."""

    path: Path
    received_bytes: int


async def run_fetch(
    order: FetchOrder,
    *,
    on_progress: Progress | None = None,
    worker: Sequence[str] = WORKER,
    grace_s: float = GRACE_S,
) -> Fetched:
    """Run one attempt. `on_progress(done_bytes, size_bytes)` is called on the event loop.

    Raises FetchError (see there; `fetch_crashed` when the worker died), StorageError. Cancelling kills the
    worker before the cancellation goes on; what has arrived stays in `order.part`.
    """
    process = await asyncio.create_subprocess_exec(
        *worker,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(order.limits.attempt_s + grace_s):
            request = json.dumps(order.to_wire()).encode("ascii")
            output, complaint, status = await _talk(process, request, on_progress)
    except TimeoutError:
        raise FetchError(
            f"the download of {order.sha256[:12]} did not end in time and was stopped",
            code="timed_out",
            is_transient=True,
            remedy="it is tried again later",
        ) from None
    finally:
        await _kill(process)
    return _result(output, complaint, status)


def _environment() -> dict[str, str]:
    """The least the interpreter needs; nothing of the daemon's own (it may hold secrets), no proxies."""
    package_parent = Path(agent.__file__).resolve().parent.parent
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(package_parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }


async def _talk(
    process: asyncio.subprocess.Process, request: bytes, on_progress: Progress | None
) -> tuple[bytes, bytes, int]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise _crashed("has no pipes", b"")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its exit status says more
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    async with asyncio.TaskGroup() as group:
        output = group.create_task(_read_result(process.stdout))
        complaint = group.create_task(_read_progress(process.stderr, on_progress))
    return output.result(), complaint.result(), await process.wait()


async def _read_result(stream: asyncio.StreamReader) -> bytes:
    """Read to the end; what is longer than any result is dropped, so that it fails as malformed."""
    kept = b""
    while chunk := await stream.read(1 << 14):
        if len(kept) <= _MAX_RESULT_BYTES:
            kept += chunk
    return kept if len(kept) <= _MAX_RESULT_BYTES else b""


async def _read_progress(stream: asyncio.StreamReader, on_progress: Progress | None) -> bytes:
    """Report progress lines; return the end of everything else, for the error message."""
    pending, rest = b"", b""
    while chunk := await stream.read(1 << 12):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            found = _PROGRESS.fullmatch(line)
            if found is None:
                rest = (rest + line + b"\n")[-_STDERR_TAIL:]
            elif on_progress is not None:
                on_progress(int(found[1]), int(found[2]))
        pending = pending[-_STDERR_TAIL:]
    return rest + pending


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


def _result(output: bytes, complaint: bytes, status: int) -> Fetched:
    if status != 0:
        raise _crashed(f"ended with status {status}", complaint)
    try:
        document = json.loads(output)
        if "fetch_error" in document:
            failure: FetchError | StorageError = FetchError.from_wire(document["fetch_error"])
        elif "storage_error" in document:
            told = document["storage_error"]
            failure = StorageError(str(told["message"]), code=str(told["code"]), remedy=str(told["remedy"]))
        else:
            return Fetched(Path(document["path"]), int(document["received_bytes"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _crashed(f"gave no result ({type(error).__name__})", complaint) from None
    raise failure


def _crashed(what: str, complaint: bytes) -> FetchError:
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    last = f": {lines[-1][:200]}" if lines else ""
    return FetchError(
        f"the download worker {what}{last}",
        code="fetch_crashed",
        is_transient=True,
        remedy="it is tried again; report it if it stays",
    )
