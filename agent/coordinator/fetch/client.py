"""Runs one download in a child process and waits for it without blocking the event loop."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.coordinator.fetch.order import FetchOrder
from agent.domain.errors import StorageError
from agent.domain.fetching import FetchError
from agent.worker.question import Answer, ask

WORKER: tuple[str, ...] = (sys.executable, "-P", "-m", "agent.coordinator.fetch.worker")
# Beyond the attempt's own end: for names that resolve slowly, hashing what was there, and decrypting.
GRACE_S = 600.0
_MAX_RESULT_BYTES = 1 << 16
_PROGRESS = re.compile(rb"progress (\d{1,15}) (\d{1,15})")
# The places of certificate authorities may be set for the daemon; nothing else of its environment passes, no proxies.
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

    def on_line(line: bytes) -> bool:
        found = _PROGRESS.fullmatch(line)
        if found is not None and on_progress is not None:
            on_progress(int(found[1]), int(found[2]))
        return found is not None

    try:
        answer = await ask(
            worker,
            json.dumps(order.to_wire()).encode("ascii"),
            timeout_s=order.limits.attempt_s + grace_s,
            most_bytes=_MAX_RESULT_BYTES,
            on_line=on_line,
            environment=_PASSED_ON,
        )
    except TimeoutError:
        raise FetchError(
            f"the download of {order.sha256[:12]} did not end in time and was stopped",
            code="timed_out",
            is_transient=True,
            remedy="it is tried again later",
        ) from None
    return _result(answer)


def _result(answer: Answer) -> Fetched:
    if answer.status != 0:
        raise _crashed(f"ended with status {answer.status}", answer)
    try:
        document = json.loads(answer.output)
        if "fetch_error" in document:
            failure: FetchError | StorageError = FetchError.from_wire(document["fetch_error"])
        elif "storage_error" in document:
            told = document["storage_error"]
            failure = StorageError(str(told["message"]), code=str(told["code"]), remedy=str(told["remedy"]))
        else:
            return Fetched(Path(document["path"]), int(document["received_bytes"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _crashed(f"gave no result ({type(error).__name__})", answer) from None
    raise failure


def _crashed(what: str, answer: Answer) -> FetchError:
    told = f": {answer.last_words}" if answer.last_words else ""
    return FetchError(
        f"the download worker {what}{told}",
        code="fetch_crashed",
        is_transient=True,
        remedy="it is tried again; report it if it stays",
    )
