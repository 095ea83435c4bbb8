"""One question to a worker process: request on stdin, answer on stdout, progress and complaints on stderr."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import agent

_COMPLAINT_BYTES = 2000  # the end of what it says besides progress, for the error message
_TOLD_CHARS = 200

LineSeen = Callable[[bytes], bool]
"""Takes a line of stderr without its end; True when it was progress and no complaint."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a worker ended: what it wrote, the end of its complaints, its exit status (negative: the signal)."""

    output: bytes
    complaint: bytes
    status: int

    @property
    def last_words(self) -> str:
        """The last line of its complaints, short; empty without any."""
        lines = self.complaint.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:_TOLD_CHARS] if lines else ""


async def ask(
    worker: Sequence[str],
    request: bytes,
    *,
    timeout_s: float,
    most_bytes: int,
    on_line: LineSeen,
    environment: Sequence[str] = (),
) -> Answer:
    """Run `worker` to its end and return what it answered; an answer above `most_bytes` comes back empty.

    `on_line` is called on the event loop. `environment` names variables of this process that it may see. TimeoutError
    after `timeout_s`; then, and when this is cancelled, the worker and all that it started are gone before the error
    goes on.
    """
    process = await asyncio.create_subprocess_exec(
        *worker,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_environment(environment),
    )
    try:
        async with asyncio.timeout(timeout_s):
            return await _talk(process, request, most_bytes, on_line)
    finally:
        await _kill(process)


def _environment(passed_on: Sequence[str]) -> dict[str, str]:
    """The least the interpreter needs; nothing of the daemon's own (it may hold secrets).

    One thread: more would take processor time from a print, and their stacks count as address space.
    """
    return {
        **{name: os.environ[name] for name in passed_on if name in os.environ},
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(Path(agent.__file__).resolve().parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


async def _talk(
    process: asyncio.subprocess.Process, request: bytes, most_bytes: int, on_line: LineSeen
) -> Answer:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        return Answer(b"", b"no pipes", 1)
    async with asyncio.TaskGroup() as group:
        group.create_task(_write(process.stdin, request))
        output = group.create_task(_read_answer(process.stdout, most_bytes))
        complaint = group.create_task(_read_lines(process.stderr, on_line))
    return Answer(output.result(), complaint.result(), await process.wait())


async def _write(stream: asyncio.StreamWriter, request: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its exit status says more
        stream.write(request)
        await stream.drain()
        stream.close()


async def _read_answer(stream: asyncio.StreamReader, most_bytes: int) -> bytes:
    """Read to the end; what is longer than any answer is dropped, so that it fails as malformed."""
    parts: list[bytes] = []
    size = 0
    while chunk := await stream.read(1 << 16):
        size += len(chunk)
        if size <= most_bytes:
            parts.append(chunk)
    return b"".join(parts) if size <= most_bytes else b""


async def _read_lines(stream: asyncio.StreamReader, on_line: LineSeen) -> bytes:
    """Pass the lines on; return the end of those that were no progress."""
    pending, rest = b"", b""
    while chunk := await stream.read(1 << 12):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if not on_line(line):
                rest = (rest + line + b"\n")[-_COMPLAINT_BYTES:]
        pending = pending[-_COMPLAINT_BYTES:]
    return rest + pending


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the worker and whatever it started; nothing happens when it has ended by itself."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(asyncio.gather(process.wait(), _drain(process.stdout), _drain(process.stderr)))


async def _drain(stream: asyncio.StreamReader | None) -> None:
    """Read what is left: asyncio counts a process as ended only when its pipes are at their end."""
    while stream is not None and await stream.read(1 << 16):
        pass
