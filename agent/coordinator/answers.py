"""Answers on `up/results`: composed, stamped, and naming what they are about also for documents that are broken."""

from __future__ import annotations

from typing import Any

from agent.coordinator.documents import (
    Answer,
    AnswerKind,
    AnswerProblem,
    AnswerStatus,
    DocumentError,
    JobDocument,
    WantedJob,
)
from agent.coordinator.signatures import SignatureError
from agent.domain.errors import RefusedError
from agent.storage.clock import Clock

_MAX_ID_CHARS = 128
_MAX_DETAIL_CHARS = 500


class Answers:
    """Composes the answers of one unit."""

    def __init__(self, unit: str, clock: Clock) -> None:
        self._unit = unit
        self._clock = clock

    def job(
        self,
        document: JobDocument,
        status: AnswerStatus,
        code: str | None,
        detail: str,
        state: str | None = None,
    ) -> Answer:
        """Answer an order."""
        return self.answer(
            AnswerKind.JOB,
            status,
            job_id=document.job_id,
            rev=document.rev,
            code=code,
            detail=detail,
            state=state,
        )

    def malformed(self, kind: AnswerKind, error: DocumentError) -> Answer:
        """Answer a document that is none: what is wrong, where."""
        content = error.content or {}
        return self.answer(
            kind,
            AnswerStatus.FAILED,
            job_id=_text(content.get("job_id")),
            rev=_revision(content.get("rev")),
            cmd_id=_text(content.get("cmd_id")),
            code=error.code,
            detail=error.message,
            problems=[
                AnswerProblem(path=problem.path, message=problem.message) for problem in error.problems
            ],
        )

    def refused(self, kind: AnswerKind, error: RefusedError) -> Answer:
        """Answer a document that is not followed. What it says of itself is named, though nothing proves it."""
        claims = error.claims if isinstance(error, SignatureError) else {}
        return self.answer(
            kind,
            AnswerStatus.FAILED,
            job_id=_text(claims.get("job_id")),
            rev=_revision(claims.get("rev")),
            cmd_id=_text(claims.get("cmd_id")),
            code=error.code,
            detail=error.told,
        )

    def answer(
        self,
        kind: AnswerKind,
        status: AnswerStatus,
        *,
        job_id: str | None = None,
        rev: int | None = None,
        code: str | None = None,
        detail: str = "",
        state: str | None = None,
        problems: list[AnswerProblem] | None = None,
        jobs: list[WantedJob] | None = None,
        cmd_id: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> Answer:
        """Compose an answer and stamp it."""
        return Answer(
            unit=self._unit,
            kind=kind,
            status=status,
            job_id=job_id,
            rev=rev,
            code=code,
            detail=detail[:_MAX_DETAIL_CHARS],
            state=state,
            problems=problems,
            jobs=jobs,
            cmd_id=cmd_id,
            data=data,
            t=max(self._clock.stamp().t_ms, 0),
        )


def _revision(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31 else None


def _text(value: object) -> str | None:
    return value[:_MAX_ID_CHARS] if isinstance(value, str) else None
