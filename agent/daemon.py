"""Everything that runs, from ready to the end: services, watchdog, handover to another version, orderly stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.control.door import Door
from agent.control.server import ControlServer
from agent.domain.profile import PrinterProfile
from agent.jobs.pipeline import Pipeline
from agent.jobs.port_journal import PortJournal
from agent.jobs.queue import Queue
from agent.ops.backup_keeper import BackupKeeper
from agent.ops.handover import Handover
from agent.ops.heartbeat import Heartbeat
from agent.ops.host_watch import HostWatch
from agent.ops.restarts import Restarts
from agent.ops.systemd import Notifier, watchdog_interval_s
from agent.printer.service import PrinterService
from agent.settings import Settings
from agent.storage.artefacts import ArtefactStore
from agent.storage.database import Database
from agent.supervisor import Service, supervise

if TYPE_CHECKING:
    from agent.coordinator.coordinator import Coordinator

SUSPEND_BUDGET_S = 10.0
"""For the running print to reach a safe point when the daemon stops."""


@dataclass(slots=True)
class Daemon:
    """Everything that runs, wired."""

    settings: Settings
    profile: PrinterProfile
    database: Database
    store: ArtefactStore
    queue: Queue
    printer: PrinterService
    pipeline: Pipeline
    journal: PortJournal
    control: ControlServer
    notifier: Notifier
    runtime_dir: Path
    host: HostWatch
    backup: BackupKeeper
    doors: list[Door]
    coordinator: Coordinator | None = None
    restarts: Restarts | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set. Raises FabunitError when a critical part has failed."""
        services = [
            Service("printer", self.printer.run, critical=True),
            Service("pipeline", self.pipeline.run, critical=True),
            Service("control", self.control.run, critical=False),
            Service("port journal", self.journal.run, critical=False),
            Service("host", self.host.run, critical=False),
            Service("backup", self.backup.run, critical=False),
            *(Service(door.name, door.run, critical=False) for door in self.doors),
            *(self.coordinator.services() if self.coordinator else ()),
        ]
        running = asyncio.create_task(supervise(services), name="services")
        stop = asyncio.create_task(stopping.wait(), name="stop signal")
        beat = asyncio.create_task(self._watchdog(), name="watchdog")
        giving_way = asyncio.create_task(self._give_way(stopping), name="handover")
        listening = asyncio.create_task(self.control.wait_listening(), name="listening")
        await asyncio.wait({running, stop, listening}, return_when=asyncio.FIRST_COMPLETED)
        gc.freeze()  # what lives until the end need not be looked at again: a full collection stops every thread
        self.notifier.ready(f"unit {self.settings.unit.id}")
        if self.restarts is not None and not running.done():
            self.restarts.end()  # it got somewhere: a print that is taken over must never wait for a pause
        try:
            await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
            self.notifier.stopping()
            if not running.done():
                self.pipeline.suspend()
                await self.printer.suspend(SUSPEND_BUDGET_S)
        finally:
            for task in (stop, beat, giving_way, listening):
                task.cancel()
            self.control.stop()
            for door in self.doors:
                door.stop()
            if not running.done():
                running.cancel()
            await self._end(running)

    async def _end(self, running: asyncio.Task[None]) -> None:
        """Close what is open, then pass on why the services ended."""
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await running
        finally:
            await self.printer.close()
            if self.coordinator is not None:
                await self.coordinator.close()
            await self.store.close()
            await self.database.close()

    async def _watchdog(self) -> None:
        """Tell the init system that the event loop, the database and the printer thread make progress."""
        interval_s = watchdog_interval_s()
        if interval_s is None:
            return
        beats = -1

        async def printer_goes_round() -> bool:
            nonlocal beats
            before, beats = beats, self.printer.beats
            return self.printer.is_beating(before)

        async def database_answers() -> bool:
            await self.queue.bed()
            return True

        probes = {"database": database_answers, "printer": printer_goes_round}
        await Heartbeat(self.notifier, interval_s, probes).run()

    async def _give_way(self, stopping: asyncio.Event) -> None:
        """End in order when another version was installed and nothing prints; only where somebody starts us again."""
        if not self.notifier.is_managed:
            return

        async def is_busy() -> bool:
            return await self.queue.running() is not None

        await Handover(self.runtime_dir, is_busy=is_busy, hold=self.pipeline.suspend).wait()
        stopping.set()
