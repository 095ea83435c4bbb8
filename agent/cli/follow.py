"""Following jobs to their end, across a restart of the daemon."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from agent.cli.jobs import why
from agent.cli.summary import layer_words, left
from agent.cli.wording import percent, printable
from agent.domain.errors import NoDaemonError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.control.client import ControlClient, Document

POLL_S = 1.0
# A daemon under its supervisor is back in seconds; a minute also covers a reboot of the unit's container.
ABSENCE_S = 60.0
# A halted printer needs a person at it. Who has not come within this time is told by the exit code.
HALTED_S = 60.0
# Without a terminal a line is written only when this much more is done.
_STEP = 0.1

_OVER = {"completed": 0, "failed": 1, "cancelled": 1, "expired": 1, "rejected": 4}


def outcome_code(jobs: Sequence[Document]) -> int:
    """Return the exit code for finished jobs: the worst of completed 0, failed or cancelled 1, rejected 4."""
    return max((_OVER.get(job["state"], 1) for job in jobs), default=0)


def follow(client: ControlClient, job_ids: Sequence[str], *, quiet: bool) -> list[Document]:
    """Wait until every job is over.

    Raises NoDaemonError after `ABSENCE_S` without a daemon, RefusedError `printer_halted` when a ready job has waited
    for `HALTED_S` at a halted printer.
    """
    return [_follow_one(client, job_id, _Line(quiet=quiet)) for job_id in job_ids]


def _follow_one(client: ControlClient, job_id: str, line: _Line) -> Document:
    absent_since: float | None = None
    halted = _Halted()
    while True:
        try:
            job = client.get(f"/v1/jobs/{job_id}")
            status = client.get("/v1/status")
            absent_since = None
        except NoDaemonError:
            absent_since = time.monotonic() if absent_since is None else absent_since
            if time.monotonic() - absent_since > ABSENCE_S:
                raise
        else:
            if job["state"] in _OVER:
                line.end(_ended(job))
                return job
            line.show(*_going(job, status))
            halted.look(job, status)
        time.sleep(POLL_S)


class _Halted:
    """How long a ready job has been waiting at a halted printer."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, job: Document, status: Document) -> None:
        """Take the present state. Raises RefusedError after `HALTED_S`."""
        printer = status["printer"]
        if job["state"] != "ready" or printer["state"] != "halted":
            self._since = None
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since > HALTED_S:
            raise RefusedError(
                f"the printer is halted: {printable(printer['detail'])}",
                code="printer_halted",
                remedy=f"job {printable(job['job_id'])} stays in the queue and starts when the printer is back",
            )


def _going(job: Document, status: Document) -> tuple[str, str, float]:
    """Return what does not change often, the full line, and how much is done."""
    printer = status["printer"]
    progress = printer["progress"] if status["job"] and status["job"]["job_id"] == job["job_id"] else None
    reason = why(job)
    fixed = f"{printable(job['name'])}  {job['state']}" + (f": {reason}" if reason else "")
    if printer["prompt"] is not None and progress is not None:
        fixed += f"  the printer asks: {printable(printer['prompt']['text'])} (see `fabunit prompt`)"
    if progress is None and (worked := _worked_on(job, status)):
        return fixed, f"{fixed}  {worked}", 0.0
    if progress is None:
        waits = (
            f"  {printable(status['warnings'][-1])}" if status["warnings"] and job["state"] == "ready" else ""
        )
        return fixed + waits, fixed + waits, 0.0
    parts = [
        fixed,
        percent(progress["fraction"]),
        layer_words(progress),
        f"{left(progress)} left",
    ]
    return fixed, "  ".join(part for part in parts if part), float(progress["fraction"])


def _worked_on(job: Document, status: Document) -> str:
    """Return how far the check or the slicing of this job is, nothing while it waits for its turn."""
    preparing = status.get("preparing")
    if preparing is None or preparing["job_id"] != job["job_id"] or preparing["state"] != job["state"]:
        return ""
    step = printable(preparing["step"]).replace("_", " ")
    return f"{percent(preparing['fraction'])}{f'  {step}' if step else ''}"


def _ended(job: Document) -> str:
    reason = why(job)
    return f"{printable(job['name'])}  {job['state']}" + (f": {reason}" if reason else "")


class _Line:
    """One line that is rewritten on a terminal, and written anew only for news elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_live = sys.stdout.isatty()
        self._last: tuple[str, int] = ("", -1)

    def show(self, fixed: str, text: str, fraction: float) -> None:
        """Write the present state."""
        news = (fixed, int(fraction / _STEP))
        if self._quiet or (not self._is_live and news == self._last):
            return
        self._last = news
        click.echo(f"\r\x1b[K{text}" if self._is_live else text, nl=not self._is_live)

    def end(self, text: str) -> None:
        """Write the last state and leave the line."""
        if not self._quiet:
            click.echo(f"\r\x1b[K{text}" if self._is_live else text)
