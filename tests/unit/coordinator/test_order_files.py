"""From an order to its file and back to nothing: fetched by the fetch stage, erased when the order says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.domain.job import JobState
from agent.jobs.machine import JobEvent, Trigger
from agent.ops.backup_keeper import BackupKeeper
from agent.storage.backup import back_up
from tests.unit.coordinator.bench import Bench, bench, job_payload, until


async def fetched(made: Bench, job_id: str) -> Path:
    """Run the fetch stage until the order's file is here; return where."""
    stage = asyncio.create_task(made.coordinator.fetching.run())
    try:
        async with asyncio.timeout(10):
            version = -1
            while (job := await made.queue.get(job_id)).state is JobState.FETCHING:
                version = await made.queue.wait_changed(version)
    finally:
        stage.cancel()
        await asyncio.gather(stage, return_exceptions=True)
    assert job.state is JobState.VERIFYING, job.detail
    digest = job.artefact_sha256
    return made.folder / "artefacts" / digest[:2] / digest


async def test_an_inline_file_is_put_into_the_store(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload())
        assert (await fetched(made, "order-1")).read_bytes() == b"G28\n"


async def test_files_of_an_order_are_erased_when_it_is_over(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload(policy={"erase": True}))
        path = await fetched(made, "order-1")
        await made.coordinator._eraser.sweep()
        assert path.is_file(), "not while the job needs it"
        await made.queue.apply("order-1", JobEvent(Trigger.CANCELLED))
        await made.coordinator._eraser.sweep()
        assert not path.exists()
        job = await made.queue.get("order-1")
        assert await made.coordinator.orders.document(job) is None
        await until(lambda: any(record["data"].get("event") == "erased" for record in made.records()))


async def test_the_text_of_an_erased_order_is_in_no_companion_of_the_database(tmp_path: Path) -> None:
    """Neither in the WAL of a running unit nor in the daily copy; one without the text is not made anew."""
    async with bench(tmp_path) as made:
        await made.online()
        keeper = BackupKeeper(made.database.path)
        made.coordinator._eraser._forget_in_copy = keeper.forget_order
        await made.coordinator._eraser.sweep()
        await made.job(job_payload(policy={"erase": True}, remark="for nobody else"))
        copy = await asyncio.to_thread(back_up, made.database.path)
        names = ("fabunit.db", "fabunit.db-wal", "fabunit.db.backup")

        def holders() -> set[str]:
            return {name for name in names if b"for nobody else" in (tmp_path / name).read_bytes()}

        assert {"fabunit.db-wal", "fabunit.db.backup"} <= holders()
        await made.queue.apply("order-1", JobEvent(Trigger.CANCELLED))
        await made.coordinator._eraser.sweep()
        assert holders() == set()
        first = copy.stat()
        await made.job(job_payload("order-2", policy={"erase": True}))
        await made.queue.apply("order-2", JobEvent(Trigger.CANCELLED))
        await made.coordinator._eraser.sweep()
        assert (copy.stat().st_ino, copy.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


async def test_a_file_that_another_job_needs_stays(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload("a", policy={"erase": True}))
        await made.job(job_payload("b"))
        path = await fetched(made, "a")
        await made.queue.apply("a", JobEvent(Trigger.CANCELLED))
        await made.coordinator._eraser.sweep()
        assert path.is_file()


async def test_the_unit_names_a_key_to_seal_files_to(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        first = made.coordinator._public_key
    async with bench(tmp_path) as made:
        assert made.coordinator._public_key == first
        (tmp_path / "seal.key").unlink()
    async with bench(tmp_path) as made:
        assert made.coordinator._public_key != first, "a lost key is not promised any more"
