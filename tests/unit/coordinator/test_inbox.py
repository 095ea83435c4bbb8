"""Orders: on disk before the broker hears of them, once, and only if this unit can print them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.coordinator.documents import Answer, AnswerStatus
from agent.coordinator.inbox import REPORT_EVERY_S
from agent.domain.artefact import Metadata, Prepared
from agent.domain.errors import ArtefactError
from agent.domain.job import JobState, Reason
from agent.jobs.machine import JobEvent, Trigger
from agent.storage.artefacts import StoredArtefact
from agent.storage.database import Database
from tests.unit.coordinator.bench import (
    TOPICS,
    Bench,
    bench,
    command_payload,
    job_content,
    job_payload,
    until,
)
from tests.unit.coordinator.fakes import FakeClient


def status(answer: Answer) -> tuple[str, str | None, str | None]:
    return answer.status.value, answer.code, answer.state


async def test_an_order_is_on_disk_before_its_puback(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        order: list[str] = []
        real = Database.run

        async def slow(self: Database, fn: Any) -> Any:
            value = await real(self, fn)
            order.append("commit")
            return value

        client = made.network.last
        acknowledge = client.acknowledge

        def noted(_client: FakeClient, ack: tuple[int, int]) -> None:
            order.append("puback")
            acknowledge(ack)

        with pytest.MonkeyPatch().context() as patch:
            patch.setattr(Database, "run", slow)
            patch.setattr(type(client), "acknowledge", noted)
            answer = await made.job(job_payload())
        assert status(answer) == ("accepted", None, "fetching")
        assert order.index("commit") < order.index("puback")
        job = await made.queue.get("order-1")
        assert (job.source, job.rev, job.copies, job.name) == ("coordinator", 1, 1, "part.gcode")
        document = await made.coordinator.orders.artefact(job)
        assert document is not None
        assert document.inline_bytes() == b"G28\n"


async def test_the_same_order_again_is_no_new_job(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload(sent=made.clock.t_ms))
        shuffled = dict(reversed(list(job_content(sent=made.clock.t_ms + 5).items())))
        again = await made.job(json.dumps(shuffled).encode())
        assert status(again) == ("duplicate", None, "fetching")
        assert len(await made.queue.list(include_over=True)) == 1


async def test_the_same_revision_with_other_content_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload())
        answer = await made.job(job_payload(copies=2))
        assert status(answer)[:2] == ("failed", "content_differs")
        assert (await made.queue.get("order-1")).copies == 1


async def test_a_redelivery_is_known_when_the_job_left_the_history(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload())
        await made.database.run(lambda connection: connection.execute("DELETE FROM jobs"))
        assert status(await made.job(job_payload())) == ("duplicate", None, "taken")
        assert await made.queue.list(include_over=True) == ()


async def test_a_new_revision_replaces_a_waiting_order_in_its_place(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload("a"))
        await made.job(job_payload("b"))
        assert status(await made.job(job_payload("a", rev=2, copies=3)))[0] == "accepted"
        jobs = await made.queue.list()
        assert [(job.job_id, job.rev, job.copies) for job in jobs] == [("a", 2, 3), ("b", 1, 1)]
        assert status(await made.job(job_payload("a", rev=1)))[:2] == ("failed", "stale_rev")


async def test_a_revision_of_a_job_on_the_printer_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload())
        await made.database.run(lambda connection: connection.execute("UPDATE jobs SET state = 'printing'"))
        assert status(await made.job(job_payload(rev=2)))[:2] == ("failed", "job_printing")


async def test_an_id_of_a_local_job_is_taken(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        local = await made.queue.add(StoredArtefact("a" * 64, 1, "gcode", "x.gcode"))
        assert status(await made.job(job_payload(local.job_id)))[:2] == ("failed", "id_taken")


async def test_a_cancellation_that_comes_first_leaves_a_tombstone(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        expires = made.clock.t_ms + 9000
        args = {"job_id": "order-1", "rev": 1}
        answers = await made.command(command_payload("cancel", args=args, expires=expires))
        assert answers[-1].data == {"tombstone": True}
        assert status(await made.job(job_payload())) == ("duplicate", None, "cancelled")
        assert await made.queue.list(include_over=True) == ()
        assert status(await made.job(job_payload(rev=2)))[0] == "accepted", "a later revision is a new wish"
        await until(lambda: any(record["state"] == "cancelled" for record in made.records()))


async def test_a_tombstone_without_revision_buries_all_of_them(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.command(
            command_payload("cancel", args={"job_id": "order-1"}, expires=made.clock.t_ms + 9000)
        )
        assert status(await made.job(job_payload(rev=7)))[2] == "cancelled"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"require": {"nozzle_mm": 0.6}}, "require.nozzle_mm"),
        ({"require": {"volume_mm": [300, 10, 10]}}, "require.volume_mm"),
        ({"require": {"profiles": ["prusa-mk3s"]}}, "require.profiles"),
        ({"require": {"material": "PETG"}}, "require.material"),
        ({"require": {"material": "PLA", "color": "red"}}, "require.material"),
        ({"require": {"material": "PLA", "material_g": 900}}, "require.material_g"),
        ({"require": {"hotend_c": 300}}, "require.hotend_c"),
        ({"require": {"bed_c": 120}}, "require.bed_c"),
        ({"require": {"capabilities": ["ejects"]}}, "require.capabilities"),
        ({"require": {"laser": True}}, "require.laser"),
        ({"limits": {"max_noise_db": 40}}, "limits.max_noise_db"),
    ],
)
async def test_what_the_unit_cannot_do_is_rejected_with_the_reason(
    tmp_path: Path, fields: dict[str, Any], path: str
) -> None:
    materials = [{"slot": "T0", "material": "PLA", "color": "black", "left_g": 500.0}]
    async with bench(tmp_path, materials=materials) as made:
        await made.online()
        answer = await made.job(job_payload(**fields))
        assert status(answer) == ("failed", "requirement", "rejected")
        assert path in answer.detail
        job = await made.queue.get("order-1")
        assert (job.state, job.reason) == (JobState.REJECTED, Reason.REQUIREMENT)


async def test_what_the_unit_can_do_is_accepted(tmp_path: Path) -> None:
    materials = [{"slot": "T0", "material": "PLA", "color": "black", "left_g": 500.0}]
    require = {"nozzle_mm": 0.4, "volume_mm": [220, 220, 250], "material": "pla", "color": "Black",
               "material_g": 20, "hotend_c": 260, "profiles": ["generic-220"]}  # fmt: skip
    async with bench(tmp_path, materials=materials) as made:
        await made.online()
        assert status(await made.job(job_payload(require=require)))[0] == "accepted"


async def test_a_malformed_order_is_answered_with_what_is_wrong_where(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        content = job_content()
        content["artefact"]["sha256"] = "nonsense"
        content["copies"] = 0
        answer = await made.job(json.dumps(content).encode())
        assert status(answer)[:2] == ("failed", "malformed")
        assert answer.job_id == "order-1"
        assert {problem.path for problem in answer.problems or ()} == {"artefact.sha256", "copies"}
        await until(lambda: any(record["state"] == "document_refused" for record in made.records()))


async def test_a_flood_of_refused_documents_is_one_record(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        for _ in range(50):
            await made.job(b"{")
        await until(made.records)
        assert len(made.records()) == 1
        assert REPORT_EVERY_S > 10


async def test_another_units_order_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        content = {**job_content(), "unit": "unit-2"}
        stray = await made.job(json.dumps(content).encode())
        assert status(stray)[:2] == ("failed", "wrong_unit")
        assert stray.job_id == content["job_id"]


async def test_unsigned_orders_are_refused_where_signatures_are_demanded(tmp_path: Path) -> None:
    keys = ["ed25519 k1 " + "A" * 43 + "="]
    async with bench(tmp_path, require_signature=True, trusted_keys=keys) as made:
        await made.online()
        unsigned = await made.job(job_payload("order-7", 3))
        assert status(unsigned)[:2] == ("failed", "unsigned")
        assert (unsigned.job_id, unsigned.rev) == ("order-7", 3), (
            "what it says of itself, for whoever sent it"
        )
        forged = {"kid": "k1", "sig": "A" * 86 + "==", "payload": "e30="}
        assert status(await made.job(json.dumps(forged).encode()))[:2] == ("failed", "bad_signature")
        unknown = {**forged, "kid": "k2"}
        assert status(await made.job(json.dumps(unknown).encode()))[:2] == ("failed", "unknown_key")
        assert await made.queue.list(include_over=True) == ()


async def test_a_full_queue_refuses_and_takes_the_order_later(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        for number in range(50):
            await made.job(job_payload(f"o-{number}"))
        assert status(await made.job(job_payload("late")))[:2] == ("failed", "queue_full")
        await made.queue.cancel("o-0")
        assert status(await made.job(job_payload("late")))[0] == "accepted", (
            "a refusal for now is not remembered"
        )


# Wants


async def want(made: Bench, jobs: list[tuple[str, int]]) -> Answer:
    before = len(made.answers())
    content = {"v": 1, "jobs": [{"job_id": job_id, "rev": rev} for job_id, rev in jobs]}
    made.network.last.deliver(TOPICS.want, json.dumps(content).encode(), retain=True)
    await until(lambda: len(made.answers()) > before)
    return made.answers()[before]


async def test_a_want_names_what_never_arrived(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload("here"))
        answer = await want(made, [("here", 1), ("here", 2), ("lost", 1)])
        assert answer.status is AnswerStatus.MISSING
        assert [(job.job_id, job.rev) for job in answer.jobs or ()] == [("here", 2), ("lost", 1)]
        await made.job(job_payload("lost"))
        await made.job(job_payload("here", rev=2))
        assert (await want(made, [("here", 2), ("lost", 1)])).status is AnswerStatus.DONE


async def test_rejected_and_cancelled_orders_are_not_asked_for_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload("no", require={"nozzle_mm": 0.6}))
        await made.command(command_payload("cancel", args={"job_id": "gone"}, expires=made.clock.t_ms + 9000))
        assert (await want(made, [("no", 1), ("gone", 1)])).status is AnswerStatus.DONE


async def test_a_cleared_want_wants_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        made.network.last.deliver(TOPICS.want, b"", retain=True)
        await until(made.answers)
        assert made.answers()[0].status is AnswerStatus.DONE


# Time and the maker's hours


async def test_a_closed_unit_takes_no_orders_and_an_asking_one_holds_them(tmp_path: Path) -> None:
    async with bench(tmp_path, accept="never") as made:
        await made.online()
        assert status(await made.job(job_payload())) == ("failed", "not_accepted", "rejected")
    async with bench(tmp_path, accept="ask") as made:
        await made.online()
        assert (await made.job(job_payload("b"))).state == "held"
        assert (await made.queue.get("b")).reason is Reason.APPROVAL
        answers = await made.command(
            command_payload("release", args={"job_id": "b"}, expires=made.clock.t_ms + 9000)
        )
        assert answers[-1].code == "held_here", "the coordinator cannot approve its own order"


async def test_a_checked_file_is_held_to_the_limits_of_its_order(tmp_path: Path) -> None:
    prepared = Prepared(
        "a", "d", 1, "b", 1, 1, 1, (0,), (0.0,), (), Metadata(estimate_s=7200.0, filament_mm=100.0), (),
        {"temperatures": {"highest_c": {"T0": 250.0, "B": 60.0}}},
    )  # fmt: skip

    async def gate(_job: object, _path: Path) -> Prepared:
        return prepared

    async with bench(tmp_path) as made:
        await made.online()
        for name, limits, refused in (
            ("a", {"max_duration_s": 3600}, True),
            ("b", {"max_duration_s": 7200, "max_filament_mm": 100}, False),
            ("c", {"max_hotend_c": 240}, True),
            ("d", {"max_bed_c": 60}, False),
            ("e", {}, False),
        ):
            await made.job(job_payload(name, limits=limits))
            checked = made.coordinator.checked(gate)
            job = await made.queue.get(name)
            if refused:
                with pytest.raises(ArtefactError, match="limits"):
                    await checked(job, tmp_path)
            else:
                assert await checked(job, tmp_path) is prepared


async def test_a_retry_of_an_order_still_knows_where_its_file_is(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload())
        await made.queue.apply("order-1", JobEvent(Trigger.FAILED, Reason.ARTEFACT_LOST))
        job = await made.queue.retry("order-1")
        assert await made.coordinator.orders.artefact(job) is not None


async def test_a_full_disk_makes_the_broker_deliver_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        client = made.network.last

        async def full(self: object, fn: object) -> object:
            from agent.domain.errors import StorageError

            raise StorageError("the disk is full", code="disk_full")

        with pytest.MonkeyPatch().context() as patch:
            patch.setattr(Database, "run", full)
            ack = client.deliver(TOPICS.jobs, job_payload())
            await until(lambda: client.is_dropped, "the connection must be given up")
        assert ack not in client.acked
        assert (made.coordinator.status() or {})["kind"] == "busy"
