"""The composition root: settings become objects, objects become services, services run until a signal comes.

The only module that knows everything. Nothing here decides; it wires.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__, paths
from agent.control.door import Door
from agent.control.listener import Listener, open_listener
from agent.control.server import ControlServer
from agent.control.unit import UnitFacade, UnitIdentity, no_slot, no_spools
from agent.coordinator.key_files import load_key
from agent.daemon import Daemon
from agent.domain.artefact import Prepared
from agent.domain.errors import FabunitError, StorageError
from agent.domain.job import Job
from agent.domain.profile import PrinterProfile
from agent.doors import metrics_writer, open_doors
from agent.gcode.client import run_prepare
from agent.gcode.prepared_file import GATE_VERSION
from agent.jobs.contact import ContactKeeper
from agent.jobs.intake import Intake
from agent.jobs.mesh_formats import MESH_FORMATS, is_mesh
from agent.jobs.mesh_ledger import MeshLedger
from agent.jobs.meshes import Meshes, MeshSettings
from agent.jobs.pictures import JobPictures
from agent.jobs.pipeline import Pipeline
from agent.jobs.policy import QueueLimits
from agent.jobs.port_journal import PortJournal
from agent.jobs.queue import Queue
from agent.jobs.remains import PICTURES
from agent.jobs.seal import ReceiptSigner
from agent.log import LogPlan, configure_logging
from agent.ops.backup_keeper import BackupKeeper
from agent.ops.host_watch import HostWatch
from agent.ops.logring import LogRing, RotatingFile
from agent.ops.restarts import Restarts
from agent.ops.systemd import Notifier, inherited_fds
from agent.ops.turns import take_short_turns
from agent.printer.commands import check_scripts
from agent.printer.connector import Connector
from agent.printer.memory import PrinterMemory
from agent.printer.port import KeptPorts
from agent.printer.print_access import PrintHabits
from agent.printer.service import PrinterService
from agent.settings import Settings, load_settings
from agent.slicing.profiles import load_profile
from agent.slicing.programs import has_engine
from agent.storage.artefacts import ArtefactStore
from agent.storage.clock import SystemClock
from agent.storage.contact import ContactFiles
from agent.storage.database import Database
from agent.storage.lock import StateLock
from agent.storage.meshes import MeshRow
from agent.storage.printers import LearnedPrinters
from agent.thread_name import name_thread

if TYPE_CHECKING:
    from agent.coordinator.coordinator import Coordinator

PROCESS_NAME = "fabunit"
"""What `ps` and whoever finds the port held show, however Python was started."""
UNIT_KEY = "unit.key"
"""In the state directory: 32 random bytes as base64, mode 0600. It signs receipts."""


async def build(
    settings: Settings,
    listener: Listener,
    ring: LogRing,
    started_s: float,
    log_file: RotatingFile | None = None,
) -> Daemon:
    """Open the state and wire the daemon. Raises FabunitError with what is wrong and how to mend it."""
    profile = load_profile(settings.printer.profile, paths.profiles_dirs())
    check_scripts(profile)
    state_dir = settings.unit.state_dir
    database = await Database.open(state_dir / "fabunit.db")
    limits = settings.limits
    store = ArtefactStore(state_dir, limits.max_artefact_bytes, min_free_bytes=limits.min_free_bytes)
    await store.open()
    queue = Queue(
        database, SystemClock(), limits=QueueLimits(max_jobs=limits.max_jobs), seal=_signer(settings)
    )
    await queue.open()
    host = HostWatch(state_dir, limits.min_free_bytes, refresh=lambda: _keep_reserve(database))
    backup = BackupKeeper(database.path)
    baud = None if settings.printer.baud == "auto" else settings.printer.baud
    notifier = Notifier.from_environ()
    resume_expected = await queue.running() is not None
    connector = Connector(
        settings.printer.port,
        baud,
        profile,
        settings.printer.dialect,
        kept=KeptPorts(inherited_fds(), notifier.store_fd, notifier.remove_fd),
        memory=PrinterMemory(LearnedPrinters(database, SystemClock())),
        takeover_expected=resume_expected,
    )
    ejects = settings.queue.bed_clear == "eject" and profile.ejects
    habits = PrintHabits(
        ejects=ejects,
        dead_man_s=None if settings.printer.dead_man_s == "auto" else settings.printer.dead_man_s,
        resume_gap_s=settings.printer.resume_gap_s,
        stop_resets={"auto": None, "always": True, "never": False}[settings.printer.stop_resets],
    )
    journal = PortJournal(queue)
    printer = PrinterService(
        profile,
        connector,
        habits=habits,
        resume_expected=resume_expected,
        on_line=journal.line,
        cut_power=_power(settings, journal),
    )

    def dialect() -> str:
        known = printer.dialect_name or settings.printer.dialect
        return profile.dialect if known == "auto" else known

    async def gate(_job: Job, path: Path) -> Prepared:
        return await run_prepare(path, store.prepared_dir, profile, dialect())

    async def start_job(job_id: str) -> Job:
        return await pipeline.start(job_id)

    meshes = await asyncio.to_thread(_meshes, settings, dialect)
    coordinator = await _coordinator(
        settings,
        formats=("gcode", *sorted(MESH_FORMATS)) if has_engine(settings.slicing.engine) else ("gcode",),
        profile=profile,
        queue=queue,
        database=database,
        store=store,
        printer=printer,
        host=host,
        backup=backup,
        start_job=start_job,
    )
    pipeline = Pipeline(
        queue,
        store,
        printer,
        coordinator.checked(gate) if coordinator else gate,
        ContactKeeper(ContactFiles(listener.path.parent, state_dir, SystemClock()), printer.snapshot),
        profile_digest=profile.digest,
        gate_version=GATE_VERSION,
        is_auto_start=settings.queue.auto_start,
        is_ejecting=ejects,
        meshes=meshes,
        fetch=coordinator.fetching if coordinator else None,
    )
    doors: list[Door] = []
    pictures = JobPictures(queue, store, state_dir / PICTURES, profile)
    identity = UnitIdentity(settings.unit.id, settings.unit.title, __version__, os.getpid(), started_s)
    ledger = MeshLedger(queue)

    async def mesh_of(job: Job) -> MeshRow | None:
        return await ledger.of(job) if is_mesh(job) else None

    unit = UnitFacade(
        identity=identity,
        queue=queue,
        intake=Intake(queue, store, pipeline.drop_old_files, meshes),
        printer=printer,
        logs=ring,
        start_job=pipeline.start,
        salvage_proposal=pipeline.salvage_proposal,
        salvage_job=pipeline.salvage,
        note_moved=queue.note_moved,
        mesh_of=mesh_of,
        preparing=lambda: pipeline.preparing,
        configured_port=settings.printer.port,
        is_auto_start=settings.queue.auto_start,
        warnings=lambda: [
            *printer.warnings(),
            *connector.warnings(),
            *(coordinator.warnings() if coordinator else ()),
            *host.warnings(),
            *backup.warnings(),
            *(sentence for door in doors for sentence in door.warnings()),
            *_log_warnings(log_file),
        ],
        host=host.document,
        picture=pictures.picture,
        metrics=metrics_writer(settings),
        link=lambda: coordinator.status() if coordinator else None,
        max_upload_bytes=limits.max_artefact_bytes,
        learned=connector.learned_document,
        want_stop_test=connector.want_stop_test,
        spools=coordinator.spools.document if coordinator else no_spools,
        refill=coordinator.spools.refill if coordinator else no_slot,
    )
    doors += open_doors(settings, unit)
    control = ControlServer(unit, listener.path, listener=listener)
    runtime_dir = listener.path.parent
    return Daemon(
        settings,
        profile,
        database,
        store,
        queue,
        printer,
        pipeline,
        journal,
        control,
        notifier,
        runtime_dir,
        host,
        backup,
        doors,
        coordinator,
    )


def _keep_reserve(database: Database) -> None:
    """Take the database's reserve again where others have given room back."""
    database.reserve.take()


def _log_warnings(log_file: RotatingFile | None) -> list[str]:
    """Say that the log file cannot be written; the daemon goes on without it."""
    if log_file is None or not log_file.failure:
        return []
    return [f"the log file cannot be written: {log_file.failure}"]


async def _coordinator(
    settings: Settings,
    *,
    profile: PrinterProfile,
    queue: Queue,
    database: Database,
    store: ArtefactStore,
    printer: PrinterService,
    host: HostWatch,
    backup: BackupKeeper,
    start_job: Callable[[str], Awaitable[Job]],
    formats: tuple[str, ...],
) -> Coordinator | None:
    """Open the coordinator side, None on a stand-alone unit, which never imports it. Raises FabunitError."""
    if not settings.coordinator.is_on:
        return None
    from agent.coordinator.coordinator import Coordinator, UnitParts  # noqa: PLC0415

    limits = settings.limits
    parts = UnitParts(
        unit=settings.unit.id,
        name=settings.unit.title,
        version=__version__,
        state_dir=settings.unit.state_dir,
        profile=profile,
        database=database,
        queue=queue,
        store=store,
        clock=SystemClock(),
        printer=printer,
        start_job=start_job,
        warnings=lambda: [*printer.warnings(), *host.warnings()],
        host=host.figures,
        forget_in_copy=backup.forget_order,
        limits=QueueLimits(max_jobs=limits.max_jobs),
        max_artefact_bytes=limits.max_artefact_bytes,
        formats=formats,
        profile_dirs=tuple(paths.profiles_dirs()),
        is_ejecting=settings.queue.bed_clear == "eject" and bool(profile.ejects),
    )
    opened = Coordinator(settings.coordinator, parts)
    await opened.open()
    return opened


def _power(settings: Settings, journal: PortJournal) -> Callable[[str], None] | None:
    """What cuts the printer's power, where the maker has given a program. Raises ConfigError."""
    if not settings.printer.power_off:
        return None
    from agent.ops.power import PowerCut, PowerSwitch  # noqa: PLC0415

    loop = asyncio.get_running_loop()

    def ended(cut: PowerCut) -> None:
        loop.call_soon_threadsafe(journal.note, cut.event())

    return PowerSwitch(settings.printer.power_off, ended).cut


def _meshes(settings: Settings, dialect: Callable[[], str]) -> Meshes | None:
    """Open where meshes are checked and sliced; None on a unit that takes only G-code. Blocking; StorageError."""
    slicing = settings.slicing
    if slicing.engine == "none":
        return None
    meshes = Meshes(
        MeshSettings(
            state_dir=settings.unit.state_dir,
            printer=settings.printer.profile,
            search=paths.profiles_dirs(),
            engine=slicing.engine,
            material=slicing.material,
            quality=slicing.quality,
            actions=settings.check.model_dump(),
            dialect=dialect,
        )
    )
    meshes.open()
    return meshes


def _signer(settings: Settings) -> ReceiptSigner | None:
    """What signs receipts: the unit's key, where it has one. Raises ConfigError for a key others can read."""
    try:
        key = load_key(settings.unit.state_dir / UNIT_KEY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the unit's key cannot be read: {error.strerror or error}") from error
    return ReceiptSigner(settings.unit.id, key)


def run_daemon(config: Path | None, socket: Path | None) -> int:
    """Run the daemon in the foreground until SIGTERM or SIGINT; returns the exit code.

    Raises FabunitError when it cannot start (bad configuration, state in use, …).
    """
    started_s = time.monotonic()
    name_thread(PROCESS_NAME)
    take_short_turns()
    faulthandler.enable()  # the watchdog's SIGABRT leaves in the journal where every thread stood
    socket = socket or paths.default_socket()
    notifier = Notifier.from_environ()
    restarts = Restarts(socket.parent) if notifier.is_managed else None
    if restarts is not None:
        restarts.pause(notifier)
    settings = load_settings(config or paths.default_config())
    ring = LogRing()
    lock = StateLock.acquire(settings.unit.state_dir)
    try:
        log_file = RotatingFile(settings.unit.state_dir / "logs" / "fabunit.log")
        configure_logging(LogPlan(level=settings.log.level, ring=ring, file=log_file))
        asyncio.run(_main(settings, socket, ring, started_s, log_file=log_file, restarts=restarts))
    except* FabunitError as group:
        raise _first(group) from None
    finally:
        lock.release()
    return 0


async def _main(
    settings: Settings,
    socket: Path,
    ring: LogRing,
    started_s: float,
    *,
    log_file: RotatingFile,
    restarts: Restarts | None,
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Before anything else: a daemon nobody can talk to, because another one has its socket, is refused at once.
    listener = open_listener(socket)
    try:
        daemon = await build(settings, listener, ring, started_s, log_file)
        daemon.restarts = restarts
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
