"""Orders with times: not before, expired, without a clock, and the hours in which a unit accepts."""

from __future__ import annotations

import json
from pathlib import Path

from agent.coordinator.documents import Answer
from agent.domain.events import ClockState
from agent.domain.job import JobState, Reason
from tests.unit.coordinator.bench import (
    TOPICS,
    Bench,
    bench,
    job_payload,
    until,
)

HOUR_MS = 3_600_000


def status(answer: Answer) -> tuple[str, str | None, str | None]:
    return answer.status.value, answer.code, answer.state


async def state_after(made: Bench, seconds: float) -> JobState:
    """Return how the order stands when so much time has passed and was looked at."""
    made.clock.advance(seconds)
    await made.coordinator._times.keep()
    return (await made.queue.get("order-1")).state


async def test_an_expired_order_never_starts(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        answer = await made.job(job_payload(expires=made.clock.t_ms - 1))
        assert status(answer) == ("failed", "expired", "expired")


async def test_an_early_order_waits_and_then_goes_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        answer = await made.job(job_payload(not_before=made.clock.t_ms + HOUR_MS))
        assert status(answer) == ("accepted", None, "held")
        assert (await made.queue.get("order-1")).reason is Reason.NOT_BEFORE
        assert await state_after(made, 3601) is JobState.FETCHING


async def test_a_waiting_order_expires(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload(expires=made.clock.t_ms + HOUR_MS))
        assert await state_after(made, 3601) is JobState.EXPIRED


async def test_without_a_clock_the_brokers_expiry_counts(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.clock.clk, made.clock.t_ms = ClockState.UNSYNC, 1_000
        await made.online()
        answer = await made.job(job_payload(expires=1_800_000_000_000), expiry_s=60)
        assert answer.state == "fetching"
        assert await state_after(made, 61) is JobState.EXPIRED


async def test_without_any_time_an_expiring_order_waits_until_the_coordinator_tells_it(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as made:
        made.clock.clk, made.clock.t_ms = ClockState.UNSYNC, 1_000
        await made.online()
        assert (await made.job(job_payload(expires=1_800_000_000_000))).state == "held"
        sent = json.dumps({"epoch": "other", "upto": 0, "sent": 1_799_999_999_000}).encode()
        made.network.last.deliver(TOPICS.ack, sent)
        await until(lambda: len(made.network.last.acked) == 2)
        await made.coordinator._times.keep()
        assert (await made.queue.get("order-1")).state is JobState.FETCHING
        assert await state_after(made, 2) is JobState.EXPIRED


async def test_times_are_judged_before_the_pipeline_starts(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.online()
        await made.job(job_payload(expires=made.clock.t_ms + 1000))
        await made.database.run(lambda connection: connection.execute("UPDATE jobs SET state = 'ready'"))
        late = made.clock.t_ms + 5000
    async with bench(tmp_path) as made:
        assert (await made.queue.get("order-1")).state is JobState.READY, "the fake clock begins anew"
        made.clock.t_ms = late
        await made.coordinator._times.keep()
        assert (await made.queue.get("order-1")).state is JobState.EXPIRED


async def test_approval_does_not_skip_the_hour(tmp_path: Path) -> None:
    async with bench(tmp_path, accept="ask") as made:
        await made.online()
        await made.job(job_payload(not_before=made.clock.t_ms + HOUR_MS))
        await made.queue.release("order-1")
        await made.coordinator._times.keep()
        assert (await made.queue.get("order-1")).reason is Reason.NOT_BEFORE
