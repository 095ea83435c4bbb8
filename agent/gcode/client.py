"""Runs the gate in a child process and waits for it without blocking the event loop."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.domain.artefact import Prepared
from agent.domain.errors import ArtefactError, FabunitError, StorageError
from agent.domain.profile import PrinterProfile
from agent.gcode.prepared_json import MAX_JSON_BYTES, prepared_from, profile_to_json
from agent.worker.question import Answer, ask

GATE_TIMEOUT_S = 1800.0  # 300 MB on the slowest supported board take about a tenth of this
_PROGRESS = re.compile(rb"progress (\d{1,15}) (\d{1,15})")
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
        "parent": os.getpid(),
    }

    def on_line(line: bytes) -> bool:
        found = _PROGRESS.fullmatch(line)
        if found is not None and on_progress is not None:
            on_progress(int(found[1]), int(found[2]))
        return found is not None

    try:
        answer = await ask(
            worker,
            json.dumps(request).encode("ascii"),
            timeout_s=timeout_s,
            most_bytes=MAX_JSON_BYTES,
            on_line=on_line,
        )
    except TimeoutError:
        raise FabunitError(
            f"checking the G-code took longer than {timeout_s:g} s and was stopped",
            code="gate_timeout",
            remedy="try again while nothing else runs, or split the file",
        ) from None
    return _result(answer, out_dir)


def _result(answer: Answer, out_dir: Path) -> Prepared:
    if answer.status != 0:
        raise _crashed(f"ended with status {answer.status}", answer)
    try:
        document = json.loads(answer.output)
        if "error" in document:
            error = document["error"]
            kind = _ERRORS.get(error["kind"], FabunitError)
            raise kind(str(error["message"]), code=str(error["code"]), remedy=str(error["remedy"]))
        prepared = prepared_from(document["prepared"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _crashed(f"gave no result ({type(error).__name__})", answer) from None
    path = out_dir / f"{prepared.sha256}.gcode"
    if prepared.is_printable and (not path.is_file() or path.stat().st_size != prepared.size):
        raise _crashed("left no prepared file", answer)
    return prepared


def _crashed(what: str, answer: Answer) -> FabunitError:
    told = f": {answer.last_words}" if answer.last_words else ""
    return FabunitError(
        f"the G-code check {what}{told}",
        code="gate_crashed",
        remedy="retry the job; if it stays, report the file",
    )
