"""Records are neither lost nor doubled, whatever connection, broker and coordinator do in whatever order."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.coordinator.session import MAX_WINDOW
from tests.unit.coordinator.session_world import STREAM, TOPICS, World

STEPS: dict[str, Callable[[World], None]] = {
    "append": lambda world: world.append(),
    "append many": lambda world: world.append(150),
    "connect": World.connect,
    "birth": World.birth,
    "cut": World.cut,
    "load": World.load,
    "deliver": lambda world: world.deliver(),
    "broker forgets": lambda world: world.deliver(is_lost=True),
    "ack": lambda world: world.ack(),
    "ack lost": lambda world: world.ack(is_lost=True),
    "ack doubled": lambda world: world.ack(is_doubled=True),
    "second": lambda world: world.wait(1.0),
    "minute": lambda world: world.wait(61.0),
    "coordinator away": lambda world: setattr(world, "is_coordinator_up", False),
    "coordinator back": lambda world: setattr(world, "is_coordinator_up", True),
}


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=120),
    seed=st.integers(0, 2**32),
    receive_maximum=st.sampled_from([1, 2, 5, 20, 65_535]),
    max_packet_bytes=st.sampled_from([None, 1_000, 100_000]),
)
def test_every_record_arrives_once_in_the_end(
    steps: list[str], seed: int, receive_maximum: int, max_packet_bytes: int | None
) -> None:
    world = World(random.Random(seed), receive_maximum, max_packet_bytes)
    world.apply(world.session.start(0.0))
    for step in steps:
        STEPS[step](world)
        stream = world.session.streams[STREAM]
        assert stream.acked <= world.contiguous, "acknowledged what the coordinator does not have"
        assert stream.acked <= stream.cursor
    world.settle()
    assert world.coordinator == set(world.rows)
    assert world.session.streams[STREAM].acked == len(world.rows)
    assert world.most_in_flight <= min(MAX_WINDOW, receive_maximum)
    assert not world.omitted


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), kept=st.floats(0.05, 0.6))
def test_a_lossy_day_ends_complete(seed: int, kept: float) -> None:
    """Random steps, weighted towards progress, with everything lost now and then."""
    rng = random.Random(seed)
    world = World(rng)
    world.apply(world.session.start(0.0))
    names = sorted(STEPS)
    for _ in range(600):
        useful = rng.random() < kept
        STEPS[rng.choice(["connect", "birth", "load", "deliver", "ack"]) if useful else rng.choice(names)](
            world
        )
    world.settle()
    assert world.coordinator == set(world.rows)


def online(world: World) -> World:
    world.apply(world.session.start(world.now))
    world.connect()
    world.birth()
    return world


def test_birth_and_description_come_before_records() -> None:
    world = World(random.Random(1))
    world.append(3)
    online(world)
    for _ in range(6):
        world.load()
        world.deliver()
    assert world.topics == [TOPICS.presence, TOPICS.description, TOPICS.events]


def test_ten_thousand_records_take_few_round_trips() -> None:
    world = online(World(random.Random(1), receive_maximum=20))
    world.append(10_000)
    trips = 0
    while world.session.streams[STREAM].acked < 10_000:
        trips += 1
        for _ in range(40):
            world.load()
        for _ in range(len(world.wires)):
            world.deliver()
        while world.acks:
            world.ack()
        assert trips < 10
    assert trips <= 6, "two round trips of 100 ms each leave a second for the disk"
    assert len(world.received) == 10_000, "nothing is sent twice on a good connection"


def test_an_absent_coordinator_costs_little() -> None:
    """Trap: PUBACK 0x10 is no failure by MQTT's rules, but the records reached nobody."""
    world = online(World(random.Random(1)))
    world.is_coordinator_up = False
    world.append(5_000)
    world.topics.clear()
    for _ in range(3600):
        for _ in range(5):
            world.load()
            world.deliver()
        world.wait(1.0)
    assert world.session.streams[STREAM].acked == 0
    assert world.session.streams[STREAM].problem
    assert world.topics.count(TOPICS.events) < 40, "an hour without coordinator is a few probes"
    world.settle()
    assert world.coordinator == set(world.rows)


def test_a_coordinator_that_comes_back_and_says_so_is_served_at_once() -> None:
    world = online(World(random.Random(1)))
    world.is_coordinator_up = False
    world.append(500)
    for _ in range(100):
        world.load()
        world.deliver()
        world.wait(1.0)
    world.is_coordinator_up = True
    world.acks.append(0)
    world.ack()
    for _ in range(20):
        world.load()
        world.deliver()
        world.ack()
    assert world.contiguous == 500


def test_a_record_too_large_for_the_broker_is_left_out_and_the_others_pass() -> None:
    """Trap 9: an oversize message would cut the connection for ever."""
    world = World(random.Random(1), max_packet_bytes=2_000)
    world.append(3)
    world.rows[2] = b'{"seq":2,"d":"' + b"x" * 5_000 + b'"}'
    online(world)
    world.settle()
    assert list(world.omitted) == [2]
    assert world.coordinator == {1, 2, 3}
