"""A printer and a gate for pipelines, and waiting for what they do."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from agent.domain.artefact import Finding, Prepared
from agent.domain.errors import RefusedError
from agent.domain.job import Job, JobState, Reason
from agent.domain.printer import PrinterSnapshot
from agent.domain.prints import OutcomeState, PrintOrder, PrintOutcome
from agent.jobs.orders import OrderOptions
from agent.jobs.pipeline import Pipeline
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore

PROFILE = "profile-1"
LINES = b"G28\n"
MakePrepared = Callable[..., Prepared]
Running = Callable[..., AbstractAsyncContextManager[Pipeline]]


class FakePrinter:
    """A printer that ends each print as it is told."""

    def __init__(self) -> None:
        self.orders: list[PrintOrder] = []
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        self.idle_waits = 0
        self.cancels: list[Reason] = []
        self.refusals = 0
        self._outcome: asyncio.Future[PrintOutcome] | None = None
        self.always: PrintOutcome | None = None

    def snapshot(self) -> PrinterSnapshot:
        return PrinterSnapshot(port_id="usb:1")

    async def wait_idle(self) -> None:
        self.idle_waits += 1
        await self.is_idle.wait()

    async def print_file(self, order: PrintOrder) -> PrintOutcome:
        assert self._outcome is None, "one print at a time"
        self.orders.append(order)
        assert order.path.read_bytes() == LINES
        if self.always is not None:
            return self.always
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            return await self._outcome
        finally:
            self._outcome = None

    async def cancel(self, reason: Reason) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RefusedError("not now")
        self.cancels.append(reason)
        self.end(OutcomeState.CANCELLED, reason)

    async def suspend(self) -> None:
        self.end(OutcomeState.SUSPENDED)

    def end(self, state: OutcomeState = OutcomeState.COMPLETED, reason: Reason | None = None) -> None:
        assert self._outcome is not None, "no print runs"
        self._outcome.set_result(PrintOutcome(state, reason, "", 1))


class FakeGate:
    """Writes the prepared file as the real gate does; `fault` replaces a verdict."""

    def __init__(self, directory: Path, make: MakePrepared) -> None:
        self._directory = directory
        self._make = make
        self.calls: list[str] = []
        self.fault: Callable[[Job, Path], Awaitable[Prepared]] | None = None
        self.findings: tuple[Finding, ...] = ()
        self.profile = PROFILE

    async def __call__(self, job: Job, path: Path) -> Prepared:
        self.calls.append(job.job_id)
        if self.fault is not None:
            return await self.fault(job, path)
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        verdict: Prepared = self._make(source, content=LINES, findings=self.findings, profile=self.profile)
        if verdict.is_printable:
            (self._directory / f"{verdict.sha256}.gcode").write_bytes(LINES)
        return verdict


async def add(queue: Queue, store: ArtefactStore, content: bytes = b"G28 ; home\n", copies: int = 1) -> Job:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return await queue.add(await store.add(chunks(), "part.gcode"), OrderOptions(copies=copies))


async def until(queue: Queue, condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while True:
            version = queue.version
            if await condition():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(queue.wait_changed(version), 0.05)


async def until_state(queue: Queue, job: Job, state: JobState) -> Job:
    async def reached() -> bool:
        return (await queue.get(job.job_id)).state is state

    await until(queue, reached)
    return await queue.get(job.job_id)


async def until_printing(queue: Queue, printer: FakePrinter, count: int = 1) -> PrintOrder:
    async def reached() -> bool:
        return len(printer.orders) >= count

    await until(queue, reached)
    return printer.orders[count - 1]
