"""The verify stage: the gate's verdict on a job's file, on record (P7)."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from agent.domain.artefact import Finding, Prepared, Severity
from agent.domain.errors import ArtefactError, FabunitError, RefusedError, StorageError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.queue import Queue
from agent.jobs.stages.wanted import while_wanted
from agent.storage.artefacts import ArtefactStore
from agent.storage.prepared import PreparedShelf

# Runs the gate on the artefact at the path. Raises ArtefactError for a file that can never be printed,
# StorageError, and any other FabunitError when the gate itself failed.
Gate = Callable[[Job, Path], Awaitable[Prepared]]
Verdict = Prepared | JobEvent

# A refusal names what is wrong; the full report is a command away.
_TOLD_FINDINGS = 5
_WORKED_ON = frozenset({JobState.VERIFYING})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gatehouse:
    """The gate, where its files come from and go to; `profile_digest` is that of the printer it judges for."""

    queue: Queue
    store: ArtefactStore
    shelf: PreparedShelf
    gate: Gate
    profile_digest: str


class VerifyStage:
    """Takes a job from `received`, or an interrupted `verifying`, to `ready` or to its refusal."""

    def __init__(self, house: Gatehouse, *, make_room: Callable[[], Awaitable[None]]) -> None:
        self._house = house
        self._queue = house.queue
        self._make_room = make_room

    async def run(self, job: Job) -> None:
        """Verify one job. When it is held or cancelled meanwhile, the work ends without a verdict."""
        try:
            if job.state is not JobState.VERIFYING:
                job = await self._queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
            verdict = await while_wanted(self._queue, job, _WORKED_ON, self._verdict(job))
            if isinstance(verdict, Prepared):
                await self._queue.verified(job.job_id, verdict)
            elif verdict is not None:
                await self._queue.apply(job.job_id, verdict)
        except RefusedError as refusal:
            _log.info("verify_dropped", job_id=job.job_id, detail=refusal.message)

    async def _verdict(self, job: Job) -> Verdict:
        try:
            return await self._check_with_room(job)
        except FabunitError as error:
            return _error_verdict(error)
        except Exception as error:  # noqa: BLE001 - the top of one job's check: the unit goes on
            _log.exception("verify_crashed", job_id=job.job_id)
            return JobEvent(Trigger.FAILED, Reason.GATE_CRASHED, f"{type(error).__name__}: {error}")

    async def _check_with_room(self, job: Job) -> Verdict:
        try:
            return await self._check(job)
        except StorageError as error:
            if error.code != "disk_full":
                raise
        await self._make_room()
        return await self._check(job)

    async def _check(self, job: Job) -> Verdict:
        path = self._house.store.path(job.artefact_sha256)
        if not path.is_file():
            return JobEvent(
                Trigger.FAILED, Reason.ARTEFACT_LOST, "the file is not on disk any more: add it again"
            )
        verdict = self._judged(job, await self._house.gate(job, path))
        if isinstance(verdict, Prepared):
            await self._house.shelf.save(verdict)
        return verdict

    def _judged(self, job: Job, prepared: Prepared) -> Verdict:
        if prepared.source_sha256 != job.artefact_sha256:
            return JobEvent(
                Trigger.FAILED, Reason.HASH_MISMATCH, "the file on disk is not the file that was added"
            )
        if prepared.profile_digest != self._house.profile_digest:
            return JobEvent(Trigger.FAILED, Reason.GATE_CRASHED, "the gate checked against another profile")
        errors = [finding for finding in prepared.findings if finding.severity is Severity.ERROR]
        if errors:
            return JobEvent(Trigger.REJECTED, Reason.GATE_REFUSED, _told(errors), data=_data(errors))
        return prepared


def _error_verdict(error: FabunitError) -> JobEvent:
    detail = error.told
    if error.code == "disk_full":
        # The file is not at fault: it waits until somebody made room and releases it.
        return JobEvent(Trigger.HELD, Reason.DISK_FULL, detail)
    if not isinstance(error, ArtefactError):
        return JobEvent(Trigger.FAILED, Reason.GATE_CRASHED, detail)
    if error.code == "hash_mismatch":
        return JobEvent(Trigger.FAILED, Reason.HASH_MISMATCH, detail)
    reason = {"not_gcode": Reason.NOT_GCODE, "mesh_unsupported": Reason.UNSUPPORTED_FORMAT}.get(error.code)
    return JobEvent(Trigger.REJECTED, reason or Reason.GATE_REFUSED, detail, data={"code": error.code})


def _told(errors: list[Finding]) -> str:
    first = errors[0]
    where = f"line {first.line}: " if first.line else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}{first.message}{more}"


def _data(errors: list[Finding]) -> dict[str, Any]:
    told = [dataclasses.asdict(finding) for finding in errors[:_TOLD_FINDINGS]]
    return {"findings": told, "errors": len(errors)}
