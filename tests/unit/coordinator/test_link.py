"""The link as a whole: births, records, acknowledgements, samples, farewells."""

from __future__ import annotations

import json
from pathlib import Path

from agent.coordinator.documents import parse_live, parse_presence, parse_unit
from agent.domain.events import EventDraft, EventType
from agent.domain.printer import Temperature
from tests.unit.coordinator.bench import TOPICS, Bench, bench, command_payload, until


def note(number: int) -> EventDraft:
    return EventDraft(EventType.UNIT, f"note {number}", state="note")


def ack(made: Bench, epoch: str, upto: int) -> None:
    made.network.last.deliver(TOPICS.ack, json.dumps({"epoch": epoch, "upto": upto}).encode())


async def test_birth_description_then_records_and_a_farewell(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.queue.record(note(1))
        await made.online()
        client = made.network.last
        await until(made.records)
        assert [message.topic for _, message in client.sent][:3] == [
            TOPICS.presence,
            TOPICS.description,
            TOPICS.events,
        ]
        assert client.topics == [TOPICS.down]
        birth = parse_presence(client.sent[0][1].payload)
        will = parse_presence(client.will.payload)
        assert (birth.state, will.state) == ("online", "lost")
        assert (birth.connect, birth.epoch) == (will.connect, will.epoch)
        assert client.sent[0][1].retain
        assert client.will.retain
        unit = parse_unit(client.sent[1][1].payload, client.sent[1][1].content_type)
        assert unit.printer.volume_mm == [220.0, 220.0, 250.0]
        assert unit.accept.now == "auto"
        await made.end()
        assert client.is_left
        assert parse_presence(client.on(TOPICS.presence)[-1].payload).state == "offline"


async def test_records_leave_the_outbox_only_by_the_coordinators_word(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        for number in range(5):
            await made.queue.record(note(number))
        await until(lambda: {record["seq"] for record in made.records()} == {1, 2, 3, 4, 5})
        epoch = made.records()[0]["epoch"]
        assert (made.coordinator.status() or {})["events_waiting"] == 5, "a PUBACK is not delivery"
        ack(made, epoch, 3)
        await until(lambda: (made.coordinator.status() or {})["events_waiting"] == 2)
        made.network.last.cut()
        await until(lambda: len(made.network.clients) == 2, "no new connection")
        await until(lambda: made.network.last.on(TOPICS.events), "nothing was sent again")
        again = [record["seq"] for record in made.records()][5:]
        assert again == [4, 5], "only what was not acknowledged is sent again"


async def test_the_mark_survives_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.queue.record(note(1))
        await until(made.records)
        ack(made, made.records()[0]["epoch"], 1)
        await until(lambda: (made.coordinator.status() or {})["events_waiting"] == 0)
    async with bench(tmp_path) as made:
        await made.queue.record(note(2))
        await made.online()
        await until(made.records)
        assert [record["seq"] for record in made.records()] == [2]


async def test_a_later_start_counts_connections_on(tmp_path: Path) -> None:
    counts = []
    for _ in range(2):
        async with bench(tmp_path) as made:
            await made.online()
            counts.append(parse_presence(made.network.last.will.payload).connect)
    assert counts[1] > counts[0]


async def test_acknowledgements_of_what_never_was_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.queue.record(note(1))
        await until(made.records)
        ack(made, made.records()[0]["epoch"], 99)
        ack(made, "other-epoch", 1)
        await until(made.answers)
        assert made.answers()[0].code == "ack_unknown"
        assert (made.coordinator.status() or {})["events_waiting"] == 1


async def test_samples_come_only_under_a_lease(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        assert not made.network.last.on(TOPICS.live)
        answers = await made.command(
            command_payload("watch", args={"seconds": 3}, expires=made.clock.t_ms + 9000)
        )
        assert answers[-1].data == {"seconds": 3.0}
        await until(lambda: made.network.last.on(TOPICS.live))
        message = made.network.last.on(TOPICS.live)[0]
        assert (message.qos, message.expiry_s) == (0, 5)
        assert parse_live(message.payload).temperatures["T0"].actual == 24.0


async def test_a_resend_brings_old_records_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        for number in range(3):
            await made.queue.record(note(number))
        await until(lambda: len(made.records()) == 3)
        epoch = made.records()[0]["epoch"]
        ack(made, epoch, 3)
        await until(lambda: (made.coordinator.status() or {})["events_waiting"] == 0)
        args = {"epoch": epoch, "after": 1}
        await made.command(command_payload("resend", args=args, expires=made.clock.t_ms + 9000))
        await until(lambda: len(made.records()) == 5)
        assert [record["seq"] for record in made.records()][3:] == [2, 3]


async def test_a_rebirth_repeats_presence_and_description(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.command(command_payload("rebirth", expires=made.clock.t_ms + 9000))
        await until(lambda: len(made.network.last.on(TOPICS.description)) == 2)
        assert len(made.network.last.on(TOPICS.presence)) == 2


async def test_telemetry_becomes_blocks_with_an_epoch_of_their_own(tmp_path: Path) -> None:
    async with bench(tmp_path, allow=["configure"]) as made:
        made.printer.temperatures = {"T0": Temperature(210.0, 210.0)}
        await made.online()
        await made.command(
            command_payload("configure", args={"block_s": 30.0}, expires=made.clock.t_ms + 9000)
        )
        made.clock.advance(40.0)
        await until(lambda: any(record["type"] == "telemetry" for record in made.records()))
        record = next(record for record in made.records() if record["type"] == "telemetry")
        assert record["data"]["ch"]["T0"][:3] == [210.0, 210.0, 210.0]
        assert record["data"]["span_s"] >= 30
        assert record["epoch"].startswith("t")
        ack(made, record["epoch"], record["seq"])
        await until(lambda: (made.coordinator.status() or {})["telemetry_waiting"] == 0)
