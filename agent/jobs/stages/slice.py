"""The slice stage: a checked mesh becomes accepted G-code, which is kept until the gate has judged it (P7, P13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from agent.domain.errors import ArtefactError, FabunitError, NotFoundError, RefusedError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.mesh_ledger import MeshLedger
from agent.jobs.queue import Queue
from agent.jobs.stages.check import Checked, CheckFailedError
from agent.jobs.stages.mesh_words import slice_told
from agent.jobs.stages.wanted import while_wanted
from agent.jobs.stages.workshop import Plan
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.slicer import Progress

_WORKED_ON = frozenset({JobState.SLICING})
_DISK_FULL = frozenset({SliceFailure.DISK_FULL.value, "disk_full"})
_UNSUITABLE = frozenset({"material_unsuitable", "quality_unsuitable"})


class SliceDesk(Protocol):
    """What the stage needs of a workshop."""

    async def make(
        self, plan: Plan, report: dict[str, Any], bench: Path, on_progress: Progress | None = None
    ) -> tuple[Path, dict[str, Any]]:
        """Return accepted G-code and its description. Raises FabunitError with the reason."""
        ...


class SliceStage:
    """Takes a checked job from `slicing` to `verifying`."""

    def __init__(self, queue: Queue, desk: SliceDesk) -> None:
        self._queue = queue
        self._ledger = MeshLedger(queue)
        self._desk = desk

    async def run(
        self, checked: Checked, plan: Plan, bench: Path, on_progress: Progress | None = None
    ) -> Job | None:
        """Slice one job; returns it in `verifying`, None when it was held or cancelled meanwhile.

        Raises what the workshop raises.
        """
        work = self._desk.make(plan, checked.report, bench, on_progress)
        made = await while_wanted(self._queue, checked.job, _WORKED_ON, work)
        if made is None:
            return None
        _, description = made
        return await self._ledger.sliced(checked.job, description, slice_told(description))


def failure_event(error: FabunitError) -> JobEvent:
    """Return what happens to a job that could not be checked or sliced; `data.code` has the exact reason."""
    detail = error.told
    data: dict[str, Any] = {"code": error.code}
    if error.code in _DISK_FULL:
        # The order is not at fault: it waits until somebody made room and releases it.
        return JobEvent(Trigger.HELD, Reason.DISK_FULL, detail, data=data)
    if error.code == "hash_mismatch":
        return JobEvent(Trigger.FAILED, Reason.HASH_MISMATCH, detail, data=data)
    if isinstance(error, CheckFailedError):
        return JobEvent(Trigger.FAILED, Reason.CHECK_FAILED, detail, data=data)
    if error.code == SliceFailure.ENGINE_MISSING.value:
        return JobEvent(Trigger.FAILED, Reason.SLICER_MISSING, detail, data=data)
    if isinstance(error, NotFoundError) or error.code in _UNSUITABLE:
        return JobEvent(Trigger.REJECTED, Reason.PROFILE_UNSUITABLE, detail, data=data)
    is_refusal = isinstance(error, (ArtefactError, RefusedError, SliceError))
    if is_refusal and error.exit_code == RefusedError.exit_code:
        return JobEvent(Trigger.REJECTED, Reason.SLICE_REFUSED, detail, data=data)
    return JobEvent(Trigger.FAILED, Reason.SLICE_FAILED, detail, data=data)
