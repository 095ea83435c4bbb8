"""Finding jobs and prints by what people type: a full id or a prefix that fits only one."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain.errors import NotFoundError, UsageError
from agent.domain.job import Job
from agent.domain.prints import PrintRecord
from agent.jobs.ids import JOB_PREFIX, PRINT_PREFIX, spellings
from agent.storage import jobs as job_rows
from agent.storage import prints as print_rows
from agent.storage.database import Connection

# More candidates than this help nobody to choose.
_SHOWN_CANDIDATES = 10
_MAX_TYPED_CHARS = 128


def find_job(connection: Connection, typed: str) -> Job:
    """Return the job. Raises NotFoundError, or UsageError `ambiguous_id` naming the candidates."""
    _check(typed, "job")
    for spelling in spellings(typed, JOB_PREFIX):
        exact = job_rows.get(connection, spelling)
        if exact is not None:
            return exact
        found = job_rows.with_prefix(connection, spelling, _SHOWN_CANDIDATES)
        if found:
            _demand_one("job", typed, [f"{job.job_id} ({job.name})" for job in found])
            return found[0]
    raise NotFoundError(f"no job has the id {typed!r}", remedy="`fabunit jobs --all` lists them")


def find_print(connection: Connection, typed: str) -> PrintRecord:
    """Return the print. Raises NotFoundError, or UsageError `ambiguous_id` naming the candidates."""
    _check(typed, "print")
    for spelling in spellings(typed, PRINT_PREFIX):
        exact = print_rows.get(connection, spelling)
        if exact is not None:
            return exact
        found = print_rows.with_prefix(connection, spelling, _SHOWN_CANDIDATES)
        if found:
            _demand_one("print", typed, [record.print_id for record in found])
            return found[0]
    raise NotFoundError(f"no print has the id {typed!r}", remedy="`fabunit history` lists them")


def _check(typed: str, noun: str) -> None:
    if not typed.strip() or len(typed) > _MAX_TYPED_CHARS:
        raise UsageError(f"that is no {noun} id: {typed[:40]!r}", code="bad_id")


def _demand_one(noun: str, typed: str, candidates: Sequence[str]) -> None:
    if len(candidates) > 1:
        raise UsageError(
            f"{typed!r} fits several {noun}s: {', '.join(candidates)}",
            code="ambiguous_id",
            remedy="type more of the id",
        )
