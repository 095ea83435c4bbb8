"""The composition root: settings become objects, objects become services, services run until a signal comes.

The only module that knows everything. Nothing here decides; it wires.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from agent import __version__, paths
from agent.control.listener import Listener, open_listener
from agent.control.server import ControlServer
from agent.control.unit import UnitFacade, UnitIdentity
from agent.domain.artefact import Prepared
from agent.domain.errors import FabunitError
from agent.domain.job import Job
from agent.domain.profile import PrinterProfile
from agent.gcode.client import run_prepare
from agent.gcode.prepare import GATE_VERSION
from agent.jobs.intake import Intake
from agent.jobs.pipeline import Pipeline
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.log import LogPlan, configure_logging
from agent.ops.logring import LogRing
from agent.ops.systemd import Notifier, watchdog_interval_s
from agent.printer.commands import check_scripts
from agent.printer.connector import Connector
from agent.printer.service import PrinterService
from agent.settings import Settings, load_settings
from agent.slicing.profiles import load_profile
from agent.storage.artefacts import ArtefactStore
from agent.storage.clock import SystemClock
from agent.storage.database import Database
from agent.storage.lock import StateLock
from agent.supervisor import Service, supervise

SWITCH_INTERVAL_S = 0.0005
"""Python's default of 5 ms would let a busy event loop hold the printer thread up for that long, three times a line
(measured: p99.9 of a line 10 ms with the default, 5.5 ms with this)."""
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
    control: ControlServer
    notifier: Notifier

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set. Raises FabunitError when a critical part has failed."""
        services = [
            Service("printer", self.printer.run, critical=True),
            Service("pipeline", self.pipeline.run, critical=True),
            Service("control", self.control.run, critical=False),
        ]
        running = asyncio.create_task(supervise(services), name="services")
        stop = asyncio.create_task(stopping.wait(), name="stop signal")
        beat = asyncio.create_task(self._watchdog(), name="watchdog")
        listening = asyncio.create_task(self.control.wait_listening(), name="listening")
        await asyncio.wait({running, stop, listening}, return_when=asyncio.FIRST_COMPLETED)
        self.notifier.ready(f"unit {self.settings.unit.id}")
        try:
            await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
            self.notifier.stopping()
            if not running.done():
                self.pipeline.suspend()
                await self.printer.suspend(SUSPEND_BUDGET_S)
        finally:
            for task in (stop, beat, listening):
                task.cancel()
            self.control.stop()
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
            await self.store.close()
            await self.database.close()

    async def _watchdog(self) -> None:
        """Tell the init system that the event loop, the database and the printer thread make progress."""
        interval_s = watchdog_interval_s()
        if interval_s is None:
            return
        beats = -1
        while True:
            await asyncio.sleep(interval_s / 2)
            await self.queue.bed()
            if self.printer.is_beating(beats):
                self.notifier.watchdog()
            beats = self.printer.beats


async def build(settings: Settings, listener: Listener, ring: LogRing, started_s: float) -> Daemon:
    """Open the state and wire the daemon. Raises FabunitError with what is wrong and how to mend it."""
    profile = load_profile(settings.printer.profile, paths.profiles_dirs())
    check_scripts(profile)
    state_dir = settings.unit.state_dir
    database = await Database.open(state_dir / "fabunit.db")
    limits = settings.limits
    store = ArtefactStore(state_dir, limits.max_artefact_bytes, min_free_bytes=limits.min_free_bytes)
    await store.open()
    queue = Queue(database, SystemClock(), limits=QueueLimits(max_jobs=limits.max_jobs))
    await queue.open()
    baud = None if settings.printer.baud == "auto" else settings.printer.baud
    connector = Connector(settings.printer.port, baud, profile, settings.printer.dialect)
    ejects = settings.queue.bed_clear == "eject" and profile.ejects
    resume_expected = await queue.running() is not None
    printer = PrinterService(profile, connector, ejects=ejects, resume_expected=resume_expected)

    async def gate(_job: Job, path: Path) -> Prepared:
        dialect = printer.dialect_name or settings.printer.dialect
        if dialect == "auto":
            dialect = profile.dialect
        return await run_prepare(path, store.prepared_dir, profile, dialect)

    pipeline = Pipeline(
        queue,
        store,
        printer,
        gate,
        profile_digest=profile.digest,
        gate_version=GATE_VERSION,
        is_auto_start=settings.queue.auto_start,
        is_ejecting=ejects,
    )
    identity = UnitIdentity(settings.unit.id, settings.unit.title, __version__, os.getpid(), started_s)
    unit = UnitFacade(
        identity=identity,
        queue=queue,
        intake=Intake(queue, store),
        printer=printer,
        logs=ring,
        start_job=pipeline.start,
        configured_port=settings.printer.port,
        is_auto_start=settings.queue.auto_start,
        warnings=printer.warnings,
        max_upload_bytes=limits.max_artefact_bytes,
    )
    control = ControlServer(unit, listener.path, listener=listener)
    return Daemon(
        settings, profile, database, store, queue, printer, pipeline, control, Notifier.from_environ()
    )


def run_daemon(config: Path | None, socket: Path | None) -> int:
    """Run the daemon in the foreground until SIGTERM or SIGINT; returns the exit code.

    Raises FabunitError when it cannot start (bad configuration, state in use, …).
    """
    started_s = time.monotonic()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings = load_settings(config or paths.default_config())
    ring = LogRing()
    lock = StateLock.acquire(settings.unit.state_dir)
    try:
        log_file = settings.unit.state_dir / "logs" / "fabunit.log"
        configure_logging(LogPlan(level=settings.log.level, ring=ring, file=log_file))
        asyncio.run(_main(settings, socket or paths.default_socket(), ring, started_s))
    except* FabunitError as group:
        raise _first(group) from None
    finally:
        lock.release()
    return 0


async def _main(settings: Settings, socket: Path, ring: LogRing, started_s: float) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Before anything else: a daemon nobody can talk to, because another one has its socket, is refused at once.
    listener = open_listener(socket)
    try:
        daemon = await build(settings, listener, ring, started_s)
        await daemon.run(stopping)
    finally:
        listener.close()


def _first(group: BaseExceptionGroup[FabunitError]) -> FabunitError:
    """The first of several failures; the others are in the log."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, FabunitError):
        raise error
    return error
