"""Runs one foreign program to its end: limited, without a shell, killed with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import agent
from agent.slicing.failure import SliceError, SliceFailure

KILL_WAIT_S = 1.0  # a killed process is gone at once; more would be a hung kernel
_OUTPUT_TAIL = 16_000  # bytes of output kept for the error message
_OUTPUT_LIMIT = 16 << 20  # a program that writes more to its console is out of its mind
_MAX_LINE = 4096
LAUNCHER: tuple[str, ...] = (sys.executable, "-P", "-m", "agent.slicing.launcher")

_PACKAGE_PARENT = str(Path(agent.__file__).resolve().parent.parent)

LineSeen = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What a slicer may use: address space, processor seconds, largest file, seconds of wall time, of silence."""

    memory_bytes: int = 1536 << 20
    cpu_s: int = 1200
    file_bytes: int = 1 << 30
    wall_s: float = 900.0
    silence_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: exit status (negative: the signal), the end of its output, whether a limit of time was hit."""

    status: int
    output: str
    was_late: bool = False


async def run_limited(
    program: Sequence[str],
    directory: Path,
    limits: ProcessLimits,
    *,
    on_line: LineSeen | None = None,
    launcher: Sequence[str] = LAUNCHER,
) -> Ended:
    """Run `program` (absolute path first) in `directory` and return how it ended.

    `on_line` gets every line of its output. Cancelling kills its whole group within KILL_WAIT_S before the
    cancellation goes on. SliceError (engine_missing) when it cannot be started.
    """
    request = {
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
        "file_bytes": limits.file_bytes,
        "parent": os.getpid(),
        "env": _environment(directory),
    }
    process = await asyncio.create_subprocess_exec(
        *launcher,
        json.dumps(request),
        *program,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=directory,
        start_new_session=True,
        env={**_environment(directory), "PYTHONPATH": _PACKAGE_PARENT},
    )
    output = _Output(on_line)
    was_late = False
    try:
        async with asyncio.timeout(limits.wall_s):
            await output.read(process, limits.silence_s)
            await process.wait()
    except TimeoutError:
        was_late = True
    finally:
        await _kill(process)
    if process.returncode == 127 and not was_late:
        raise SliceError(SliceFailure.ENGINE_MISSING, output.text.strip() or f"cannot start {program[0]}")
    return Ended(process.returncode if process.returncode is not None else -1, output.text, was_late)


def _environment(directory: Path) -> dict[str, str]:
    """The least a program needs; nothing of the daemon's own (it may hold secrets), no display, no D-Bus."""
    return {
        "PATH": os.defpath,
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "LC_ALL": "C",
        # Address space is limited; every thread would reserve a heap and a stack of its own.
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class _Output:
    """Reads both streams; keeps the end."""

    def __init__(self, on_line: LineSeen | None) -> None:
        self._on_line = on_line
        self._tail = b""

    @property
    def text(self) -> str:
        return self._tail.decode("utf-8", "replace")

    async def read(self, process: asyncio.subprocess.Process, silence_s: float) -> None:
        """Read to the end. TimeoutError after `silence_s` without a byte, or when there is far too much."""
        stream = process.stdout
        pending, size = b"", 0
        while stream is not None:
            async with asyncio.timeout(silence_s):
                chunk = await stream.read(1 << 14)
            if not chunk:
                break
            size += len(chunk)
            if size > _OUTPUT_LIMIT:
                raise TimeoutError
            self._tail = (self._tail + chunk)[-_OUTPUT_TAIL:]
            *lines, pending = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
            pending = pending[-_MAX_LINE:]
            for line in lines:
                if self._on_line is not None:
                    self._on_line(line[:_MAX_LINE].decode("utf-8", "replace"))


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the group; also when its leader has ended by itself, for what it may have left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        with contextlib.suppress(TimeoutError):  # nothing more can be done; it counts as late
            await asyncio.shield(
                asyncio.wait_for(asyncio.gather(process.wait(), _drain(process)), KILL_WAIT_S)
            )


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read what is left: asyncio counts a process as ended only when its pipes are at their end."""
    while process.stdout is not None and await process.stdout.read(1 << 16):
        pass
