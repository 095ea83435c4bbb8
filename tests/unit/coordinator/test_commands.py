"""Commands: once, in time, allowed, and always answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.coordinator.commands import MAX_WAITING
from agent.coordinator.documents.command import MAX_COMMAND_BYTES
from agent.coordinator_settings import DENIED_BY_DEFAULT
from agent.domain.events import ClockState
from agent.domain.job import JobState, Reason
from agent.domain.printer import PrinterState
from agent.storage.database import Database
from tests.unit.coordinator.bench import TOPICS, Bench, bench, command_payload, job_payload, until


def soon(made: Bench) -> int:
    return made.clock.t_ms + 10_000


async def test_accepted_then_done_with_correlation(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        made.printer.state = PrinterState.PRINTING
        response = f"{TOPICS.results}/desk-7"
        answers = await made.command(
            command_payload("pause", expires=soon(made)), response_topic=response, correlation=b"\x01\x02"
        )
        assert [answer.status.value for answer in answers] == ["accepted", "done"]
        assert made.printer.calls == [("pause", Reason.COORDINATOR)]
        await until(lambda: len(made.network.last.on(response)) == 2)
        assert {message.correlation for message in made.network.last.on(response)} == {b"\x01\x02"}


@pytest.mark.parametrize(
    "topic", ["fabunit/v1/unit-2/up/results/x", "x", "fabunit/v1/unit-1/down/jobs", "a/+/b", ""]
)
async def test_a_foreign_response_topic_is_not_written(tmp_path: Path, topic: str) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.command(command_payload("identify", expires=soon(made)), response_topic=topic)
        assert {message.topic for _, message in made.network.last.sent} <= {
            TOPICS.presence, TOPICS.description, TOPICS.results, TOPICS.events,
        }  # fmt: skip


async def test_the_same_command_again_is_answered_not_repeated(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        payload = command_payload("cool", expires=soon(made))
        first = await made.command(payload)
        again = await made.command(payload)
        assert made.printer.calls == [("cool",)]
        assert again == [first[-1]]
    async with bench(tmp_path) as made:
        await made.online()
        assert (await made.command(payload))[-1].status.value == "done"
        assert made.printer.calls == [], "also not after a restart"


async def test_an_id_cannot_be_used_for_another_command(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.command(command_payload("cool", expires=soon(made)))
        answers = await made.command(command_payload("pause", expires=soon(made)))
        assert answers[-1].code == "id_reused"


async def test_a_command_that_was_cut_short_is_not_repeated_blindly(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        payload = command_payload("cool", expires=soon(made))
        await made.command(payload)
        await made.database.run(lambda connection: connection.execute("UPDATE commands SET answer = NULL"))
        assert (await made.command(payload))[-1].code == "interrupted"
        assert made.printer.calls == [("cool",)]


@pytest.mark.parametrize("command", sorted(DENIED_BY_DEFAULT))
async def test_what_moves_heats_or_clears_is_denied_by_default(tmp_path: Path, command: str) -> None:
    args = {"heater": "T0", "celsius": 200} if command == "heat" else {}
    async with bench(tmp_path) as made:
        await made.online()
        assert (await made.command(command_payload(command, args=args, expires=soon(made))))[
            -1
        ].code == "denied"
    async with bench(tmp_path, allow=[command]) as made:
        await made.online()
        answers = await made.command(command_payload(command, args=args, expires=soon(made)))
        assert answers[-1].status.value == "done"


async def test_an_owner_can_deny_anything(tmp_path: Path) -> None:
    async with bench(tmp_path, deny=["stop"]) as made:
        await made.online()
        assert (await made.command(command_payload("stop", expires=soon(made))))[-1].code == "denied"
        assert made.printer.calls == []


async def test_late_unknown_and_retained_commands_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        late = await made.command(command_payload("cool", "c1", expires=made.clock.t_ms - 1))
        unknown = await made.command(command_payload("dance", "c2", expires=soon(made)))
        retained = await made.command(command_payload("cool", "c3", expires=soon(made)), retain=True)
        expired = await made.command(command_payload("cool", "c4", expires=soon(made)), expiry_s=0)
        codes = [answers[-1].code for answers in (late, unknown, retained, expired)]
        assert codes == ["expired", "unknown_command", "retained", "expired"]
        assert made.printer.calls == []


async def test_without_a_clock_only_what_is_surely_in_time_is_done(tmp_path: Path) -> None:
    """A stop is the exception: refusing one that may be late is worse than obeying it."""
    async with bench(tmp_path) as made:
        made.clock.clk, made.clock.t_ms = ClockState.UNSYNC, 5_000
        await made.online()
        far = 1_900_000_000_000
        assert (await made.command(command_payload("cool", "c1", expires=far)))[-1].code == "clock_unknown"
        assert (await made.command(command_payload("cool", "c2", expires=far), expiry_s=30))[-1].code is None
        assert (await made.command(command_payload("cool", "c3", expires=far, sent=far - 500)))[
            -1
        ].code is None
        assert (await made.command(command_payload("cool", "c4", expires=far - 1000)))[-1].code == "expired"
        assert made.printer.calls == [("cool",), ("cool",)]


@contextlib.contextmanager
def database_held() -> Iterator[asyncio.Event]:
    """Hold back whatever the database is asked to change, until the event is set."""
    gate = asyncio.Event()
    real = Database.run

    async def held(self: Database, fn: object) -> object:
        await gate.wait()
        return await real(self, fn)  # type: ignore[arg-type]

    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(Database, "run", held)
        yield gate


async def test_a_stop_needs_no_clock_and_no_disk(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.clock.clk, made.clock.t_ms = ClockState.UNSYNC, 5_000
        await made.online()
        with database_held() as gate:
            for number in range(5):
                payload = command_payload("cool", f"w{number}", expires=soon(made))
                made.network.last.deliver(TOPICS.commands, payload, expiry_s=60)
            made.network.last.deliver(TOPICS.commands, command_payload("stop", expires=9_000_000_000_000))
            await until(lambda: ("stop",) in made.printer.calls)
            assert made.printer.calls == [("stop",)]
            gate.set()
            await until(lambda: made.printer.calls.count(("cool",)) == 5)


async def test_preconditions(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        wrong = await made.command(command_payload("cool", "c1", if_state="printing", expires=soon(made)))
        other = await made.command(command_payload("cool", "c2", if_job="order-9", expires=soon(made)))
        right = await made.command(
            command_payload("cool", "c3", if_state=["idle", "paused"], expires=soon(made))
        )
        assert [answers[-1].code for answers in (wrong, other, right)] == [
            "precondition",
            "precondition",
            None,
        ]
        assert made.printer.calls == [("cool",)]


async def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    async with bench(tmp_path, allow=["heat"]) as made:
        await made.online()
        answers = await made.command(
            command_payload("heat", args={"heater": "T0", "celsius": "hot"}, expires=soon(made))
        )
        assert answers[-1].code == "malformed"
        assert answers[-1].cmd_id == "c1"
        assert [problem.path for problem in answers[-1].problems or ()] == ["celsius"]
        assert made.printer.calls == []


async def test_a_malformed_command_is_answered_by_its_id(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        answers = await made.command(json.dumps({"v": 1, "cmd_id": "c9"}).encode())
        assert (answers[-1].code, answers[-1].cmd_id) == ("malformed", "c9")


async def test_the_queue_by_exact_ids(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        for name in ("aa-1", "aa-2"):
            await made.job(job_payload(name))

        async def send(command: str, **args: object) -> str | None:
            made.clock.advance(1)
            payload = command_payload(command, f"c{made.clock.t_ms}", args=args, expires=soon(made))
            return (await made.command(payload))[-1].code

        assert await send("hold", job_id="aa-2") is None
        assert (await made.queue.get("aa-2")).reason is Reason.COORDINATOR
        assert await send("release", job_id="aa-2") is None
        assert await send("move", job_id="aa-2", before="aa-1") is None
        assert [job.job_id for job in await made.queue.list()] == ["aa-2", "aa-1"]
        assert await send("move", job_id="aa-2", to=-1) is None
        assert await send("hold", job_id="aa-9") == "not_found"
        assert await send("start", job_id="aa-1") is None
        assert made.started == ["aa-1"]
        assert await send("cancel", job_id="aa-1") is None
        assert (await made.queue.get("aa-1")).state is JobState.CANCELLED
        assert await send("cancel", job_id="aa-1") == "wrong_state"
        assert await send("retry", job_id="aa-1") is None
        assert await send("hold", job_id="aa") in ("not_found", "ambiguous_id"), (
            "a prefix is no id for a program"
        )
        assert await send("cancel") == "not_printing"


PAUSED_BY = (("user", "paused_here"), ("filament", "paused_here"), ("coordinator", None))


async def test_a_print_paused_at_the_unit_is_not_resumed_from_afar(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload())

        for number, (reason, code) in enumerate(
            (("user", "paused_here"), ("filament", "paused_here"), ("coordinator", None))
        ):
            await made.database.run(
                lambda connection, reason=reason: connection.executescript(  # type: ignore[misc]
                    "DELETE FROM prints; INSERT INTO prints (print_id, job_id, copy, state, prepared_sha256, lines,"
                    " base, port_id, reason, detail, started_ms, file_stamp) VALUES"
                    f" ('p-1', 'order-1', 1, 'paused', 'x', 1, 1, 'x', '{reason}', '', 1, ''); BEGIN"
                )
            )
            answers = await made.command(command_payload("resume", f"c{number}", expires=soon(made)))
            assert answers[-1].code == code, reason
        assert made.printer.calls == [("resume",)]


def held_up(made: Bench) -> asyncio.Event:
    """Have homing last until the event is set; the printer's calls say when it has begun."""
    gate = asyncio.Event()

    async def slow(axes: str) -> None:
        made.printer.calls.append(("home", axes))
        await gate.wait()

    made.printer.home = slow  # type: ignore[method-assign]
    return gate


async def test_too_many_commands_are_refused_not_collected(tmp_path: Path) -> None:
    """Outcome: as many as the burst wait behind one that takes long; the others are `busy`, none is forgotten."""
    async with bench(tmp_path, allow=["home"]) as made:
        await made.online()
        gate = held_up(made)
        for number in range(MAX_WAITING + 5):
            made.network.last.deliver(
                TOPICS.commands, command_payload("home", f"h{number}", expires=soon(made))
            )
        await until(lambda: sum(answer.code == "busy" for answer in made.answers()) == 5)
        gate.set()
        accepted = {answer.cmd_id for answer in made.answers() if answer.status.value == "accepted"}
        assert len(accepted) == MAX_WAITING

        def is_over() -> bool:
            last = {answer.cmd_id: answer.status.value for answer in made.answers()}
            return all(last[cmd_id] == "done" for cmd_id in accepted)

        await until(is_over, "what was accepted is carried out")
        assert len(made.printer.calls) == MAX_WAITING


async def test_a_command_that_became_late_while_it_waited_is_not_carried_out(tmp_path: Path) -> None:
    async with bench(tmp_path, allow=["home"]) as made:
        await made.online()
        gate = held_up(made)
        network = made.network.last
        network.deliver(TOPICS.commands, command_payload("home", "h1", expires=soon(made)))
        await until(lambda: made.printer.calls, "homing begins")
        network.deliver(TOPICS.commands, command_payload("cool", "c1", expires=soon(made)))
        network.deliver(TOPICS.commands, command_payload("cool", "c2", expires=soon(made) * 2), expiry_s=5)
        network.deliver(TOPICS.commands, command_payload("cool", "c3", expires=soon(made) * 2))
        await until(lambda: {"h1", "c1", "c2", "c3"} == {answer.cmd_id for answer in made.answers()})
        made.clock.advance(11)
        gate.set()
        await until(lambda: len(made.answers()) == 8)
        last = {answer.cmd_id: answer.code or answer.status.value for answer in made.answers()}
        assert last == {"h1": "done", "c1": "expired", "c2": "expired", "c3": "done"}
        assert made.printer.calls.count(("cool",)) == 1


async def test_a_new_command_is_accepted_before_the_disk_is_ready_and_acknowledged_after(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.command(command_payload("cool", "c0", expires=soon(made)))
        with database_held() as gate:
            ack = made.network.last.deliver(TOPICS.commands, command_payload("cool", expires=soon(made)))
            await until(lambda: [answer.cmd_id for answer in made.answers()].count("c1") == 1)
            assert ack not in made.network.last.acked
            assert made.printer.calls == [("cool",)]
            gate.set()
            await until(lambda: ack in made.network.last.acked)
        await until(lambda: made.printer.calls == [("cool",), ("cool",)])


async def test_a_long_command_is_none(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        long = command_payload("cool", expires=soon(made), note="x" * MAX_COMMAND_BYTES)
        for payload in (long, zlib.compress(long)):
            assert (await made.command(payload))[-1].code == "malformed"
        assert made.printer.calls == []


async def test_configuration_survives_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path, allow=["configure"]) as made:
        await made.online()
        answers = await made.command(
            command_payload("configure", args={"block_s": 120.0, "batch": 50}, expires=soon(made))
        )
        assert answers[-1].data == {"block_s": 120.0, "batch": 50}
    async with bench(tmp_path, allow=["configure"]) as made:
        await made.online()
        answers = await made.command(command_payload("configure", "c2", expires=soon(made)))
        assert answers[-1].data == {"block_s": 120.0, "batch": 50}


async def test_identify_shows_in_the_warnings_and_beeps(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        answers = await made.command(command_payload("identify", expires=soon(made)))
        assert answers[-1].data == {"beeped": True}
        assert any("which unit" in warning for warning in made.coordinator.warnings())
