"""The check stage: what a mesh check means for a job: print it, hold it for the maker, or reject it (P7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from agent.domain.errors import RefusedError
from agent.domain.job import Job, JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.mesh_ledger import MeshLedger
from agent.jobs.queue import Queue
from agent.jobs.stages.mesh_words import checked_record, verdict_words
from agent.jobs.stages.wanted import while_wanted
from agent.jobs.stages.workshop import MESH_FILE, Plan
from agent.mesh.client import Progress
from agent.mesh.report.document import summary
from agent.mesh.verdict import Verdict

_WORKED_ON = frozenset({JobState.RECEIVED, JobState.FETCHING, JobState.CHECKING, JobState.SLICING})
_HOLD_REASONS = {
    Verdict.NOT_PRINTABLE.value: Reason.NOT_PRINTABLE,
    Verdict.WITH_WARNINGS.value: Reason.CHECK_WARNINGS,
    Verdict.PRINTABLE.value: Reason.APPROVAL,
}
_ANSWER = "`fabunit job release` prints it all the same, `fabunit job cancel` does not"


class Action(StrEnum):
    """What happens to a job after its check."""

    PRINT = "print"
    HOLD = "hold"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """One action per verdict. What nobody could determine waits for a person by default."""

    printable: Action = Action.PRINT
    printable_with_warnings: Action = Action.PRINT
    undetermined: Action = Action.HOLD
    not_printable: Action = Action.REJECT

    def action(self, verdict: str) -> Action:
        """Return the action for a verdict; one that is not known is held."""
        found = getattr(self, verdict, Action.HOLD)
        return found if isinstance(found, Action) else Action.HOLD


class CheckDesk(Protocol):
    """What the stage needs of a workshop."""

    async def known(self, plan: Plan) -> tuple[dict[str, Any] | None, bool]:
        """Return the kept report, None without one, and whether the slice is kept, too."""
        ...

    def report_path(self, plan: Plan) -> Path:
        """Return where the full report is."""
        ...

    async def examine(self, plan: Plan, bench: Path, on_progress: Progress | None = None) -> dict[str, Any]:
        """Return the report; the mesh to slice is on the bench."""
        ...


class CheckFailedError(RefusedError):
    """The check did not come to its end: that says nothing about the part, and may go better another time."""

    code = "check_failed"


@dataclass(frozen=True, slots=True)
class Checked:
    """A mesh that goes on: the job as it is now, and its report."""

    job: Job
    report: dict[str, Any]


class CheckStage:
    """Takes a mesh job from `received`, or an interrupted `checking` or `slicing`, to `slicing` or to its verdict.

    A job that was held because of its check and released by a person is let through: the release is the answer.
    Question and hold are one transaction, so a restart asks nobody twice and nobody's answer is made up.
    """

    def __init__(self, queue: Queue, desk: CheckDesk, policy: CheckPolicy) -> None:
        self._queue = queue
        self._ledger = MeshLedger(queue)
        self._desk = desk
        self._policy = policy

    async def run(
        self, job: Job, plan: Plan, bench: Path, *, is_last_try: bool, on_progress: Progress | None = None
    ) -> Checked | None:
        """Check one job; None when it was judged, held or cancelled.

        Raises CheckFailedError when another try may help and this is not the last one, and what `examine` raises.
        """
        if job.state not in (JobState.CHECKING, JobState.SLICING):
            job = await self._queue.apply(job.job_id, JobEvent(Trigger.CHECK_BEGAN))
        work = self._judge(job, plan, bench, is_last_try=is_last_try, on_progress=on_progress)
        return await while_wanted(self._queue, job, _WORKED_ON, work)

    async def _judge(
        self, job: Job, plan: Plan, bench: Path, *, is_last_try: bool, on_progress: Progress | None
    ) -> Checked | None:
        report, is_sliced = await self._desk.known(plan)
        was_asked = (await self._ledger.of(job)).asked == plan.limits.digest
        if report is None or (not is_sliced and self._passes(report, was_asked=was_asked)):
            report = await self._desk.examine(plan, bench, on_progress)
        if _is_unfinished(report) and not is_last_try:
            raise CheckFailedError(report["findings"][0]["message"])
        record = checked_record(report, plan.setup, str(self._desk.report_path(plan)))
        event = self._event(report, was_asked=was_asked)
        if event is None and not is_sliced and not (bench / MESH_FILE).is_file():
            event = _unreadable(report)
        if event is None and job.state is JobState.SLICING:
            return Checked(job, report)
        if event is None:
            event = JobEvent(Trigger.SLICE_BEGAN, data={"check": summary(report)})
        asks = plan.limits.digest if event.trigger is Trigger.HELD else ""
        moved = await self._ledger.judged(job, record, event, asks=asks)
        return Checked(moved, report) if moved.state is JobState.SLICING else None

    def _passes(self, report: dict[str, Any], *, was_asked: bool) -> bool:
        return self._event(report, was_asked=was_asked) is None

    def _event(self, report: dict[str, Any], *, was_asked: bool) -> JobEvent | None:
        """Return what the verdict does to the job, None when it goes on; `data.check` is below 1 kB."""
        verdict = str(report["verdict"])
        action = self._policy.action(verdict)
        if action is Action.PRINT or (action is Action.HOLD and was_asked):
            return None
        data = {"check": summary(report)}
        if action is Action.HOLD:
            reason = _HOLD_REASONS.get(verdict, Reason.CHECK_UNDETERMINED)
            return JobEvent(Trigger.HELD, reason, f"{verdict_words(report)}; {_ANSWER}", data=data)
        reason = _HOLD_REASONS.get(verdict, Reason.CHECK_UNDETERMINED)
        return JobEvent(Trigger.REJECTED, reason, verdict_words(report), data=data)


def _is_unfinished(report: dict[str, Any]) -> bool:
    """Whether the worker was ended before it could say anything about the part."""
    return any(finding["id"] == "check.incomplete" for finding in report["findings"])


def _unreadable(report: dict[str, Any]) -> JobEvent:
    """End a job that somebody wants printed although there is no mesh that could be sliced."""
    data = {"check": summary(report)}
    if _is_unfinished(report):
        return JobEvent(Trigger.FAILED, Reason.CHECK_FAILED, verdict_words(report), data=data)
    detail = f"the mesh cannot be sliced: {verdict_words(report)}"
    return JobEvent(Trigger.REJECTED, Reason.NOT_PRINTABLE, detail, data=data)
