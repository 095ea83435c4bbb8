"""What the pipeline does with the gate's verdicts, and where there is none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.domain.artefact import Finding, Prepared, Severity
from agent.domain.errors import ArtefactError, FabunitError, StorageError
from agent.domain.job import Job, JobState, Reason
from agent.domain.prints import Bed
from agent.jobs.machine import JobEvent, Trigger
from agent.jobs.queue import Queue
from agent.storage.artefacts import ArtefactStore
from tests.unit.jobs.pipeline_bench import (
    LINES,
    PROFILE,
    FakeGate,
    FakePrinter,
    MakePrepared,
    Running,
    add,
    until,
    until_printing,
    until_state,
)


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ArtefactError("text", code="not_gcode"), JobState.REJECTED, Reason.NOT_GCODE),
        (ArtefactError("a mesh", code="mesh_unsupported"), JobState.REJECTED, Reason.UNSUPPORTED_FORMAT),
        (ArtefactError("odd", code="bad_artefact", remedy="x"), JobState.REJECTED, Reason.GATE_REFUSED),
        (ArtefactError("other", code="hash_mismatch"), JobState.FAILED, Reason.HASH_MISMATCH),
        (FabunitError("killed", code="gate_crashed"), JobState.FAILED, Reason.GATE_CRASHED),
        (StorageError("full", code="disk_full"), JobState.HELD, Reason.DISK_FULL),
        (StorageError("odd"), JobState.FAILED, Reason.GATE_CRASHED),
        (ZeroDivisionError("a bug"), JobState.FAILED, Reason.GATE_CRASHED),
    ],
)
async def test_what_the_gate_raises_ends_only_this_job(
    *,
    queue: Queue,
    store: ArtefactStore,
    printer: FakePrinter,
    gate: FakeGate,
    running: Running,
    error: Exception,
    state: JobState,
    reason: Reason,
) -> None:
    async def fault(job: Job, path: Path) -> Prepared:
        raise error

    gate.fault = fault
    job = await add(queue, store)
    async with running():
        ended = await until_state(queue, job, state)
        assert ended.reason is reason
        assert str(error) in ended.detail
        gate.fault = None
        other = await add(queue, store, b"G28 ; good\n")
        assert (await until_printing(queue, printer)).record.job_id == other.job_id
        again = await (queue.release if state is JobState.HELD else queue.retry)(job.job_id)
        await until_state(queue, again, JobState.READY)
        printer.end()
        await until_state(queue, other, JobState.COMPLETED)


async def test_findings_reject_with_the_first_of_them(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate, running: Running
) -> None:
    gate.findings = (
        Finding("warm", Severity.WARNING, 1, "warm"),
        *(
            Finding(f"hot-{n}", Severity.ERROR, n, f"M104 S{n} is too hot", "lower it")
            for n in range(300, 310)
        ),
    )
    job = await add(queue, store)
    async with running():
        rejected = await until_state(queue, job, JobState.REJECTED)
    assert rejected.reason is Reason.GATE_REFUSED
    assert rejected.detail == "line 300: M104 S300 is too hot (and 9 more)"
    event = (await queue.events_after(0))[-1]
    assert event.data["errors"] == 10
    assert [finding["id"] for finding in event.data["findings"]] == [f"hot-{n}" for n in range(300, 305)]
    assert printer.orders == []


async def test_a_gate_that_checked_something_else_is_not_believed(
    queue: Queue, store: ArtefactStore, gate: FakeGate, running: Running, prepared: MakePrepared
) -> None:
    gate.profile = "another"
    job = await add(queue, store)
    async with running():
        assert (await until_state(queue, job, JobState.FAILED)).reason is Reason.GATE_CRASHED
    store.path(job.artefact_sha256).write_bytes(b"G28 ; rotten")
    gate.profile = PROFILE
    await queue.retry(job.job_id)
    async with running():
        assert (await until_state(queue, job, JobState.FAILED)).reason is Reason.HASH_MISMATCH


async def test_a_lost_artefact_fails_the_job_and_the_daemon_goes_on(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    lost, good = await add(queue, store), await add(queue, store, b"G28 ; good\n")
    store.path(lost.artefact_sha256).unlink()
    async with running():
        assert (await until_state(queue, lost, JobState.FAILED)).reason is Reason.ARTEFACT_LOST
        assert (await until_printing(queue, printer)).record.job_id == good.job_id


async def test_changed_bytes_are_never_printed(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    await queue.clear_bed()
    job = await add(queue, store)
    printer.is_idle.clear()
    async with running():
        ready = await until_state(queue, job, JobState.READY)
        (store.prepared_dir / f"{ready.prepared_sha256}.gcode").write_bytes(b"G1 X9")
        printer.is_idle.set()
        assert (await until_state(queue, job, JobState.FAILED)).reason is Reason.HASH_MISMATCH
    assert printer.orders == []
    assert await queue.bed() is Bed.CLEAR


async def test_a_missing_prepared_file_is_made_again_once(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate, running: Running
) -> None:
    job = await add(queue, store)
    printer.is_idle.clear()
    async with running():
        ready = await until_state(queue, job, JobState.READY)
        prepared_file = store.prepared_dir / f"{ready.prepared_sha256}.gcode"
        prepared_file.unlink()
        printer.is_idle.set()
        await until_printing(queue, printer)
    assert len(gate.calls) == 2


async def test_a_prepared_file_that_keeps_disappearing_fails_the_job(
    *,
    queue: Queue,
    store: ArtefactStore,
    printer: FakePrinter,
    gate: FakeGate,
    running: Running,
    prepared: MakePrepared,
) -> None:
    async def forgetful(job: Job, path: Path) -> Prepared:
        verdict: Prepared = prepared(job.artefact_sha256, content=LINES)
        return verdict

    gate.fault = forgetful
    job = await add(queue, store)
    async with running():
        assert (await until_state(queue, job, JobState.FAILED)).reason is Reason.ARTEFACT_LOST
    assert len(gate.calls) == 2
    assert printer.orders == []


async def test_a_new_profile_or_gate_checks_ready_jobs_again(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, gate: FakeGate, running: Running
) -> None:
    job = await add(queue, store)
    async with running(is_auto_start=False):
        await until_state(queue, job, JobState.READY)
    gate.profile = "profile-2"
    async with running(profile="profile-2", is_auto_start=False):

        async def checked() -> bool:
            return (await queue.get(job.job_id)).profile_digest == "profile-2"

        await until(queue, checked)
    gate.fault = None
    async with running(profile="profile-2", gate_version=2):
        failed = await until_state(queue, job, JobState.FAILED)
    assert failed.reason is Reason.ARTEFACT_LOST, "a gate that stays old never gets to print"
    assert len(gate.calls) == 3
    assert printer.orders == []


async def test_a_hold_ends_the_check_and_a_release_repeats_it(
    queue: Queue, store: ArtefactStore, gate: FakeGate, running: Running
) -> None:
    ended = asyncio.Event()

    async def endless(job: Job, path: Path) -> Prepared:
        try:
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            ended.set()

    gate.fault = endless
    job = await add(queue, store)
    async with running():
        await until_state(queue, job, JobState.VERIFYING)
        assert (await queue.hold(job.job_id)).held_from is JobState.VERIFYING
        await asyncio.wait_for(ended.wait(), 5)
        gate.fault = None
        assert (await queue.release(job.job_id)).state is JobState.VERIFYING
        await until_state(queue, job, JobState.PRINTING)


async def test_a_killed_check_is_repeated_by_the_next_daemon(
    queue: Queue, store: ArtefactStore, printer: FakePrinter, running: Running
) -> None:
    job = await add(queue, store)
    await queue.apply(job.job_id, JobEvent(Trigger.VERIFY_BEGAN))
    async with running():
        await until_printing(queue, printer)
