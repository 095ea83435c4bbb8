"""A workshop on the bench: no worker is started, every answer is what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.domain.job import Job
from agent.jobs.stages.workshop import MESH_FILE, MeshOrder, Plan, check_limits
from agent.mesh.client import Progress as CheckProgress
from agent.mesh.report.document import incomplete
from agent.slicing.slicer import Progress
from tests.unit.slicing.fake_engine import FakeEngine, setup_for

SETUP = setup_for()
LIMITS = check_limits(SETUP)


def report(verdict: str = "printable", *found: tuple[str, str]) -> dict[str, Any]:
    """A report with findings given as (severity, id)."""
    plain = incomplete(LIMITS, "x")["findings"][0]
    findings = [
        {**plain, "severity": severity, "id": identity, "message": f"it has {identity}"}
        for severity, identity in found
    ]
    counts = {kind: sum(one["severity"] == kind for one in findings) for kind in ("error", "warning", "info")}
    return {**incomplete(LIMITS, "x"), "verdict": verdict, "findings": findings, "counts": counts}


class FakeWorkshop:
    """Answers `report`; raises `errors` one after the other while slicing; `hang` never ends what it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = report()
        self.kept: dict[str, Any] | None = None
        self.errors: list[Exception] = []
        self.hang = ""
        self.is_readable = True
        self.is_sliced = False
        self.examined = 0
        self.made: list[dict[str, Any]] = []
        self.began: list[str] = []
        self.ended: list[str] = []
        self.orders: list[MeshOrder] = []
        self.plan_error: Exception | None = None

    def order_of(self, job: Job, path: Path) -> MeshOrder:
        return MeshOrder(path, job.artefact_sha256, job.name, job.material, job.quality)

    async def plan(self, order: MeshOrder) -> Plan:
        if self.plan_error is not None:
            raise self.plan_error
        self.orders.append(order)
        engine = FakeEngine("")
        return Plan(order, SETUP, engine, engine.found(), LIMITS, "0" * 64)

    @asynccontextmanager
    async def bench(self) -> AsyncIterator[Path]:
        bench = self.folder / "bench"
        bench.mkdir()
        try:
            yield bench
        finally:
            for path in bench.iterdir():
                path.unlink()
            bench.rmdir()

    async def known(self, plan: Plan) -> tuple[dict[str, Any] | None, bool]:
        return self.kept, self.is_sliced

    def report_path(self, plan: Plan) -> Path:
        return self.folder / "report.json"

    async def examine(
        self, plan: Plan, bench: Path, on_progress: CheckProgress | None = None
    ) -> dict[str, Any]:
        self.examined += 1
        await self._work("check")
        if self.is_readable:
            (bench / MESH_FILE).write_bytes(b"mesh")
        self.kept = self.report
        return self.report

    async def make(
        self, plan: Plan, report: dict[str, Any], bench: Path, on_progress: Progress | None = None
    ) -> tuple[Path, dict[str, Any]]:
        self.made.append(report)
        await self._work("slice")
        if self.errors:
            raise self.errors.pop(0)
        return self.folder / "out.gcode", {"engine": "fake", "setup_digest": SETUP.digest, "warnings": ["x"]}

    async def _work(self, what: str) -> None:
        self.began.append(what)
        try:
            while self.hang == what:
                await asyncio.sleep(0.001)
        finally:
            self.ended.append(what)
