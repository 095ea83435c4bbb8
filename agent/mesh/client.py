"""Runs a check in a child process and waits for it without blocking the event loop. Loads neither numpy nor trimesh."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agent.mesh.report.document import incomplete
from agent.mesh.request import Request
from agent.worker.question import Answer, ask

CHECK_TIMEOUT_S = 900.0  # wall time; a niced check beside a busy machine gets a fraction of a processor
MAX_JSON_BYTES = 4 << 20  # a report holds a bounded number of findings and places
_TOLD_CHARS = 120
_PROGRESS = re.compile(rb"progress ([a-z_]{1,40}) ([01]\.\d{3})")
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

    def on_line(line: bytes) -> bool:
        found = _PROGRESS.fullmatch(line)
        if found is not None and on_progress is not None:
            on_progress(found[1].decode("ascii"), float(found[2]))
        return found is not None

    try:
        answer = await ask(
            worker,
            json.dumps(asked.to_dict()).encode(),
            timeout_s=timeout_s,
            most_bytes=MAX_JSON_BYTES,
            on_line=on_line,
        )
    except TimeoutError:
        return incomplete(request.limits, f"it took longer than {timeout_s:g} s")
    return _report(request, answer)


def _report(request: Request, answer: Answer) -> dict[str, Any]:
    if answer.status != 0:
        return incomplete(request.limits, _why(answer))
    try:
        report = json.loads(answer.output)["report"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return incomplete(request.limits, "it gave no report")
    if not isinstance(report, dict) or not set(report) >= _REPORT_KEYS:
        return incomplete(request.limits, "it gave no report")
    if report["limits_digest"] != request.limits.digest:
        return incomplete(request.limits, "it checked against other limits")
    return report


def _why(answer: Answer) -> str:
    told = answer.last_words[:_TOLD_CHARS]
    if "MemoryError" in told:
        return "it needed more memory than it may have"
    with contextlib.suppress(ValueError):
        number = signal.Signals(-answer.status)
        return _SIGNALS.get(number, f"it ended by {number.name}")
    return f"it ended with status {answer.status}{f': {told}' if told else ''}"
