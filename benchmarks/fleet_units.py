"""Many light units in one process: the real link, outbox, telemetry and queue of each; only the printer is made up.

`python -m benchmarks.fleet_units --first 0 --count 100 --broker URL --folder DIR`. Writes a line of JSON a second to
standard output; a word on standard input changes what it does: `quiet` stops new events, `end` ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.coordinator.coordinator import Coordinator, UnitParts
from agent.coordinator_settings import CoordinatorSettings
from agent.domain.errors import RefusedError
from agent.domain.events import EventDraft, EventType
from agent.domain.job import Job, Reason
from agent.domain.printer import PrinterSnapshot, PrinterState, Temperature
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.log import LogPlan, configure_logging
from agent.storage.artefacts import ArtefactStore
from agent.storage.clock import SystemClock
from agent.storage.database import Database

EVENT_EVERY_S = 20.0
PROFILE = PrinterProfile(
    name="generic-220",
    title="Generic",
    digest="d",
    volume_mm=(220.0, 220.0, 250.0),
    nozzle_mm=0.4,
    extruders=1,
    hotend=HeaterLimits(260.0),
    bed=HeaterLimits(100.0),
    chamber=None,
)


class WarmPrinter:
    """Prints for ever; takes no commands."""

    def __init__(self) -> None:
        self._rng = random.Random(1)

    def snapshot(self) -> PrinterSnapshot:
        heat = {"T0": Temperature(210.0 + self._rng.random(), 210.0), "B": Temperature(60.0, 60.0)}
        return PrinterSnapshot(state=PrinterState.PRINTING, temperatures=heat)

    async def pause(self, reason: Reason | None = None, detail: str = "") -> None:
        raise _no_printer("pause", reason, detail)

    async def resume(self) -> None:
        raise _no_printer("resume")

    async def stop(self) -> None:
        raise _no_printer("stop")

    async def home(self, axes: str) -> None:
        raise _no_printer("home", axes)

    async def heat(self, heater: str, celsius: float) -> None:
        raise _no_printer("heat", heater, celsius)

    async def cool(self) -> None:
        raise _no_printer("cool")

    async def command(self, line: str) -> list[str]:
        raise _no_printer(line)


def _no_printer(*wish: object) -> RefusedError:
    return RefusedError(f"there is no printer behind this unit: {wish}", code="not_printing")


@dataclass(slots=True)
class LightUnit:
    """One unit; `online_at_s` is when its link came up last, monotonic seconds."""

    queue: Queue
    coordinator: Coordinator
    database: Database
    wrote: int = 0
    online_at_s: float | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def look(self) -> tuple[bool, int]:
        """Return whether it is online, and how many records wait."""
        status = self.coordinator.status() or {}
        is_online = status.get("state") == "online"
        self.online_at_s = time.monotonic() - float(status["online_s"] or 0) if is_online else None
        return is_online, int(status["events_waiting"]) + int(status["telemetry_waiting"])


class Fleet:
    """The units of this process."""

    def __init__(self, folder: Path, broker: str) -> None:
        self._folder = folder
        self._broker = broker
        self._units: list[LightUnit] = []
        self._is_quiet = asyncio.Event()
        self._ending = asyncio.Event()

    async def run(self, first: int, count: int) -> None:
        """Open the units, run them, tell what they do."""
        for number in range(first, first + count):
            self._units.append(await self._open(f"unit-{number:05d}"))
        for unit in self._units:
            unit.tasks.append(asyncio.create_task(unit.coordinator.run()))
            unit.tasks.append(asyncio.create_task(self._write(unit)))
        listening = asyncio.create_task(asyncio.to_thread(self._obey, asyncio.get_running_loop()))
        while not self._ending.is_set():
            print(json.dumps(self._report()), flush=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1.0)
        for unit in self._units:
            for task in unit.tasks:
                task.cancel()
        for unit in self._units:
            await asyncio.gather(*unit.tasks, return_exceptions=True)
            await unit.coordinator.close()
            await unit.database.close()
        print(json.dumps(self._report()), flush=True)
        await listening

    def _obey(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in sys.stdin:
            word = line.strip()
            if word == "quiet":
                loop.call_soon_threadsafe(self._is_quiet.set)
            if word == "end":
                break
        loop.call_soon_threadsafe(self._ending.set)

    async def _open(self, name: str) -> LightUnit:
        state = self._folder / name
        clock = SystemClock()
        database = await Database.open(state / "fabunit.db")
        queue = Queue(database, clock)
        await queue.open()
        store = ArtefactStore(state, 1 << 20, min_free_bytes=0)
        await store.open()

        async def start_job(job_id: str) -> Job:
            return await queue.get(job_id)

        parts = UnitParts(
            unit=name,
            name=name,
            version="fleet",
            state_dir=state,
            profile=PROFILE,
            database=database,
            queue=queue,
            store=store,
            clock=clock,
            printer=WarmPrinter(),
            start_job=start_job,
            warnings=list,
            limits=QueueLimits(max_jobs=10),
            max_artefact_bytes=1 << 30,
        )
        coordinator = Coordinator(CoordinatorSettings(url=self._broker, trust_clock=True), parts)
        await coordinator.open()
        return LightUnit(queue, coordinator, database)

    async def _write(self, unit: LightUnit) -> None:
        await asyncio.sleep(random.uniform(0, EVENT_EVERY_S))
        while not self._is_quiet.is_set():
            await unit.queue.record(EventDraft(EventType.UNIT, f"note {unit.wrote}", state="note"))
            unit.wrote += 1
            await asyncio.sleep(random.uniform(0.5, 1.5) * EVENT_EVERY_S)

    def _report(self) -> dict[str, Any]:
        seen = [unit.look() for unit in self._units]
        status = Path("/proc/self/status").read_text().splitlines()
        figures = {
            line.split(":")[0]: line.split()[1] for line in status if line.startswith(("VmRSS", "Threads"))
        }
        return {
            "t": time.monotonic(),
            "online": sum(is_online for is_online, _ in seen),
            "waiting": sum(waiting for _, waiting in seen),
            "wrote": sum(unit.wrote for unit in self._units),
            "online_at_s": [unit.online_at_s for unit in self._units if unit.online_at_s is not None],
            "rss_kib": int(figures["VmRSS"]),
            "threads": int(figures["Threads"]),
        }


def main() -> None:
    """Run units until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    configure_logging(LogPlan(level="error"))
    asyncio.run(Fleet(args.folder, args.broker).run(args.first, args.count))


if __name__ == "__main__":
    main()
