"""Floods of commands: a steady rate, a burst, and a defined word beyond."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.coordinator.command_pace import (
    BURST,
    MOST_WAIT_S,
    PER_S,
    REFUSALS_BURST,
    REFUSALS_PER_S,
    Pace,
    command_pace,
    may_be_stop,
)
from agent.coordinator.signatures import signed
from tests.unit.coordinator.bench import TOPICS, Bench, bench, command_payload, until


@given(st.lists(st.floats(0.0, 0.2), max_size=200))
def test_no_second_has_more_than_its_share(pauses: list[float]) -> None:
    pace, now = command_pace(), 1000.0
    taken = []
    for pause in pauses:
        now += pause
        wait_s = pace.wait_s(now)
        if wait_s is not None:
            assert wait_s <= MOST_WAIT_S
            taken.append(now + wait_s)
    assert taken == sorted(taken)
    for first in taken:
        assert sum(first <= moment < first + 1.0 for moment in taken) <= PER_S + BURST


def test_a_burst_is_free_and_comes_back_with_time() -> None:
    pace = Pace(10.0, 3)
    assert [pace.wait_s(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, None]
    assert pace.wait_s(0.11) == 0.0
    assert pace.wait_s(0.11) is None
    assert [pace.wait_s(60.0) for _ in range(4)] == [0.0, 0.0, 0.0, None]


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("name", ["stop", "pause"])
def test_a_stop_is_found_in_a_flood(name: str, *, is_signed: bool) -> None:
    payload = command_payload(name, "c1", args={})
    if is_signed:
        payload = signed(payload, "key", bytes(range(32))).to_json()
    assert may_be_stop(payload) is (name == "stop")


@given(st.binary(max_size=200))
def test_nothing_breaks_the_search_for_a_stop(payload: bytes) -> None:
    assert may_be_stop(payload) in (True, False)
    assert may_be_stop(b'{"sig":"",' + payload) in (True, False)


def test_what_is_packed_may_be_one() -> None:
    assert may_be_stop(zlib.compress(b"{}"))


def _accepted(made: Bench) -> int:
    return sum(answer.cmd_id != "s1" and answer.status.value == "accepted" for answer in made.answers())


async def test_a_flood_is_refused_and_a_stop_gets_through(tmp_path: Path) -> None:
    """Outcome: so many are carried out, some are told `busy`, the rest is acknowledged without a word."""
    async with bench(tmp_path) as made:
        await made.online()
        network, expires = made.network.last, made.clock.t_ms + 60_000
        began_s = time.monotonic()
        acks = {
            network.deliver(
                TOPICS.commands, command_payload("watch", f"w{number}", args={"seconds": 9}, expires=expires)
            )
            for number in range(3 * BURST)
        }
        stop = network.deliver(TOPICS.commands, command_payload("stop", "s1", expires=expires))
        await until(lambda: stop in network.acked, "the stop waits behind the flood")
        assert made.printer.calls == [("stop",)]
        await until(lambda: acks <= set(network.acked), "the broker keeps what was refused")
        await until(lambda: _accepted(made) >= BURST, "the burst is not carried out")
        answers = [answer for answer in made.answers() if answer.cmd_id != "s1"]
        took_s = time.monotonic() - began_s
        accepted = [answer for answer in answers if answer.status.value == "accepted"]
        assert (
            len({answer.cmd_id for answer in accepted})
            == len(accepted)
            <= BURST + (took_s + MOST_WAIT_S) * PER_S + 1
        )
        busy = [answer for answer in answers if answer.code == "busy"]
        assert 0 < len(busy) <= REFUSALS_BURST + took_s * REFUSALS_PER_S + 1
        assert {"again in a second" in answer.detail for answer in busy} == {True}
        # The pace lets more through meanwhile: one may have been accepted only just now.
        await until(lambda: _told(made, "accepted") == _told(made, "done"), "what is accepted is carried out")


def _told(made: Bench, status: str) -> set[str]:
    return {
        answer.cmd_id
        for answer in made.answers()
        if answer.status.value == status and answer.cmd_id not in (None, "s1")
    }


async def test_a_flood_of_nonsense_is_not_answered_one_by_one(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        network, began_s = made.network.last, time.monotonic()
        acks = {network.deliver(TOPICS.commands, b"{") for _ in range(150)}
        await until(lambda: acks <= set(network.acked))
        took_s = time.monotonic() - began_s
        assert 0 < len(network.on(TOPICS.results)) <= REFUSALS_BURST + took_s * REFUSALS_PER_S + 1
