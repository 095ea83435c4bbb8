"""A day of printing without a network, on a simulated clock, and how soon the coordinator has all of it afterwards.

The day is written by the daemon's own recorder, telemetry store and event table; then the real daemon, broker and
coordinator deliver it over a link with 100 ms round trip. By hand: `python -m benchmarks.link_offline`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.coordinator.recorder import Recorder
from agent.coordinator.standin import units
from agent.coordinator.standin.records import continuity
from agent.domain.events import EventDraft, EventType, Stamp
from agent.domain.printer import PrinterSnapshot, PrinterState, PrintProgress, Temperature
from agent.storage import events, outbox
from agent.storage.database import Connection, Database
from agent.storage.telemetry import TelemetryStore
from benchmarks.link_world import UNIT, LinkWorld

ROUND_TRIP_S = 0.1
BOOT = "1595184d-5263-466c-9516-b658e8a6439d"
EVENTS_PER_HOUR = 42
"""A print each quarter of an hour with some ten records each: more than a farm of toys would make."""
DRAIN_LIMIT_S = 60.0
LIVE_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Day:
    """What lay on the disk after the time without a network, in bytes, and how it was delivered, in seconds."""

    hours: int
    events: int
    blocks: int
    database_bytes: int
    telemetry_bytes: int
    catch_up_s: float
    live_s: float
    is_sound: bool


async def fill(state: Path, hours: int) -> tuple[int, int]:
    """Print for `hours` of simulated time; returns how many events and blocks were written."""
    database = await Database.open(state / "fabunit.db")
    store = TelemetryStore(state / "telemetry.db")
    await store.open()
    try:
        await database.run(outbox.join)
        recorder, rng, blocks = Recorder(), random.Random(1), 0
        start_ms = time.time_ns() // 1_000_000 - hours * 3_600_000
        for hour in range(hours):
            for second in range(hour * 3600, (hour + 1) * 3600):
                stamp = Stamp(start_ms + second * 1000, second * 1000, BOOT)
                block = recorder.sample(_seen(second, rng), f"order-{hour}", stamp)
                if block is not None:
                    await store.append(block, stamp)
                    blocks += 1
            for number in range(EVENTS_PER_HOUR):
                at_ms = (hour * 3600 + number * 85) * 1000
                await database.run(_event(hour, number, Stamp(start_ms + at_ms, at_ms, BOOT)))
    finally:
        await store.close()
        await database.close()
    return hours * EVENTS_PER_HOUR, blocks


def measure(folder: Path, hours: int) -> Day:
    """Fill a state directory, start the unit on it, and time the delivery."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    wrote, blocks = asyncio.run(fill(state, hours))
    database_bytes, telemetry_bytes = (
        (state / name).stat().st_size for name in ("fabunit.db", "telemetry.db")
    )
    world = LinkWorld(folder)
    world.unit_net.delay_s = world.standin_net.delay_s = ROUND_TRIP_S / 4
    with world:
        began_s = time.monotonic() - world.status()["link"]["online_s"]

        def is_delivered() -> bool:
            return world.is_drained() and world.status()["link"]["telemetry_waiting"] == 0

        world.until(is_delivered, "everything is delivered", DRAIN_LIMIT_S)
        catch_up_s = time.monotonic() - began_s
        found = continuity(world.ledger.reading, UNIT)
        is_sound = (
            all(item.is_sound for item in found) and sum(item.received for item in found) >= wrote + blocks
        )
        live_s = max(_live_again(world) for _ in range(LIVE_ROUNDS))
    return Day(hours, wrote, blocks, database_bytes, telemetry_bytes, catch_up_s, live_s, is_sound=is_sound)


def _live_again(world: LinkWorld) -> float:
    """Cut the network under a lease; return the seconds from the reconnection to the first sample."""
    assert world.command("watch", seconds=600)[0] == "done"
    world.unit_net.down()
    world.until(lambda: world.status()["link"]["state"] != "online", "the link is down")
    before = units.get(world.ledger.reading, UNIT)
    world.unit_net.up()
    world.until(lambda: world.status()["link"]["state"] == "online", "the link is back", 60.0)
    back_s = time.monotonic() - float(world.status()["link"]["online_s"])

    def is_live() -> bool:
        now = units.get(world.ledger.reading, UNIT)
        return now is not None and before is not None and now.live != before.live

    world.until(is_live, "samples come again")
    return time.monotonic() - back_s


def _event(hour: int, number: int, stamp: Stamp) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        draft = EventDraft(
            EventType.UNIT, f"hour {hour}, event {number}, with a sentence of usual length", state="note"
        )
        events.append(connection, draft, stamp)

    return write


def _seen(second: int, rng: random.Random) -> PrinterSnapshot:
    temperatures = {"T0": Temperature(210 + rng.random(), 210.0), "B": Temperature(60 + rng.random(), 60.0)}
    done = second % 3600
    progress = PrintProgress(
        f"p-{second // 3600:08d}",
        done * 10,
        36_000,
        0,
        0,
        done // 60,
        60,
        done / 300,
        done,
        3600 - done,
        done / 3600,
    )
    return PrinterSnapshot(state=PrinterState.PRINTING, temperatures=temperatures, progress=progress)


def main() -> int:
    """Measure and tell; 1 when something is missing or late."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fu-day-") as scratch, contextlib.suppress(KeyboardInterrupt):
        day = measure(Path(scratch), args.hours)
        print(f"{day.hours} h: {day.events} events in {day.database_bytes / 1e6:.2f} MB, ", end="")
        print(f"{day.blocks} blocks in {day.telemetry_bytes / 1e6:.2f} MB")
        print(
            f"delivered {day.catch_up_s:.1f} s after the connection ({ROUND_TRIP_S * 1000:.0f} ms round trip)"
        )
        print(f"live samples {day.live_s:.1f} s after a reconnection at most; complete: {day.is_sound}")
        return 0 if day.is_sound and day.catch_up_s <= 5.0 and day.live_s <= 2.0 else 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
