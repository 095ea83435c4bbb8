"""What a mesh check means for a job: print it, hold it for the maker, or reject it (P7)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.domain.job import Job, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.mesh.cache import ReportCache
from agent.mesh.client import Progress, run_check
from agent.mesh.report.document import summary
from agent.mesh.report.text import finding_line, verdict_line
from agent.mesh.request import Request


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


class MeshCheck:
    """Checks meshes of jobs, each once per file, limits and checker; event loop only.

    A job that was held because of its check and released by a person is let through: the release is the answer. That
    it was asked is remembered beside the reports, so that a restart asks nobody twice.
    """

    def __init__(self, directory: Path, policy: CheckPolicy) -> None:
        self._cache = ReportCache(directory)
        self._directory = directory
        self._policy = policy

    async def report(self, job: Job, request: Request, on_progress: Progress | None = None) -> dict[str, Any]:
        """Return the report on the job's file, kept or new; the full one stays on disk."""
        if request.repair_to is None:
            kept = await asyncio.to_thread(self._cache.load, job.artefact_sha256, request.limits)
            if kept is not None:
                return kept
        found = await run_check(request, on_progress=on_progress)
        await asyncio.to_thread(self._cache.save, found, request.limits)
        return found

    async def event(self, job: Job, report: dict[str, Any]) -> JobEvent | None:
        """Return what the verdict does to the job, None when it goes on; `data.check` is below 1 kB."""
        action = self._policy.action(report["verdict"])
        if action is Action.PRINT:
            return None
        if action is Action.HOLD and await asyncio.to_thread(self._was_asked, job, report):
            return None
        detail = verdict_line(report)
        if report["findings"]:
            detail = f"{detail}; {finding_line(report['findings'][0])}"
        held = JobEvent(Trigger.HELD, Reason.HOLD_REQUESTED, detail, data={"check": summary(report)})
        if action is Action.HOLD:
            return held
        return replace(held, trigger=Trigger.REJECTED, reason=Reason.GATE_REFUSED)

    def _was_asked(self, job: Job, report: dict[str, Any]) -> bool:
        """Tell whether this job was held for this report before; from now on it was."""
        mark = self._directory / f"{job.job_id}.{job.attempt}.{report['limits_digest'][:16]}.asked"
        if mark.exists():
            return True
        self._directory.mkdir(parents=True, exist_ok=True)
        mark.touch()
        return False
