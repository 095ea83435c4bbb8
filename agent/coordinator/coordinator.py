"""The composition of the coordinator side: settings become one object that the daemon opens, runs and closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.coordinator.actions import Actions, PrinterActions
from agent.coordinator.answers import Answers
from agent.coordinator.availability import parse_hours
from agent.coordinator.broker_address import BrokerAddress
from agent.coordinator.client import BrokerClient, Credentials
from agent.coordinator.commands import Commands
from agent.coordinator.erasure import Eraser
from agent.coordinator.fetch.fetcher import Fetcher, FetchRules
from agent.coordinator.inbox import Acceptance, Inbox
from agent.coordinator.key_files import load_or_create_key
from agent.coordinator.link import Dial, Link, NetworkClient, Post
from agent.coordinator.link_control import LinkControl
from agent.coordinator.messages import Message
from agent.coordinator.offer import capabilities, offered_profiles
from agent.coordinator.order_book import OrderBook
from agent.coordinator.reception import LinkReception
from agent.coordinator.recorder import Recorder
from agent.coordinator.reporter import Reporter
from agent.coordinator.requirements import Abilities
from agent.coordinator.shelf import Shelf
from agent.coordinator.signatures import Verifier, parse_trusted_keys
from agent.coordinator.spool_keeper import SpoolKeeper
from agent.coordinator.timekeeper import TimeKeeper
from agent.coordinator.timing import CoordinatorClock
from agent.coordinator.topics import Topics
from agent.coordinator.unit_document import UnitFacts
from agent.coordinator_settings import CoordinatorSettings
from agent.domain.artefact import Prepared
from agent.domain.events import ClockState
from agent.domain.job import Job
from agent.domain.profile import PrinterProfile
from agent.jobs.policy import QueueLimits
from agent.jobs.queue import Queue
from agent.jobs.stages.fetch import FetchStage
from agent.storage import meta
from agent.storage.artefacts import ArtefactStore, free_bytes
from agent.storage.clock import Clock
from agent.storage.database import Database
from agent.storage.telemetry import TelemetryStore
from agent.supervisor import Service

SEAL_KEY = "seal.key"
"""In the state directory: the private half of the key that coordinators seal encrypted files to."""
_PUBLIC_KEY = "seal_public_key"
Gate = Callable[[Job, Path], Awaitable[Prepared]]


async def _no_copy(_job_id: str, _rev: int) -> None:
    """Nothing to do where nobody copies the database."""


@dataclass(frozen=True, slots=True)
class UnitParts:
    """What the composition root has built already, and what this unit is."""

    unit: str
    name: str
    version: str
    state_dir: Path
    profile: PrinterProfile
    database: Database
    queue: Queue
    store: ArtefactStore
    clock: Clock
    printer: PrinterActions
    start_job: Callable[[str], Awaitable[Job]]
    warnings: Callable[[], Sequence[str]]
    limits: QueueLimits
    max_artefact_bytes: int
    formats: tuple[str, ...] = ("gcode",)
    profile_dirs: tuple[Path, ...] = ()
    is_ejecting: bool = False
    host: Callable[[], Mapping[str, float]] = dict
    """Figures of the machine for telemetry, such as `host.cpu_c`; empty before the first look."""
    forget_in_copy: Callable[[str, int], Awaitable[None]] = _no_copy
    """Told the job and revision whose text was erased from the database: no copy of it is to keep that."""


class Coordinator:
    """The link with everything behind it; event loop only. `run` is a side service."""

    def __init__(self, settings: CoordinatorSettings, parts: UnitParts, dial: Dial | None = None) -> None:
        self._settings = settings
        self._parts = parts
        self._dial = dial or self._broker_client
        self._topics = Topics(parts.unit)
        self._credentials = Credentials(
            client_id=settings.client_id or parts.unit,
            username=settings.username,
            password_file=settings.password_file,
            ca_file=settings.ca_file,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
        )
        self._telemetry = TelemetryStore(parts.state_dir / "telemetry.db")
        self._shelf = Shelf(parts.database, parts.queue, self._telemetry)
        self._time = CoordinatorClock(is_trusted=settings.trust_clock)
        self._times = TimeKeeper(parts.queue, parts.database, parts.clock, self._time)
        self.orders = OrderBook(parts.database)
        self.fetching = FetchStage(parts.queue, self._fetcher())
        self._eraser = Eraser(parts.queue, parts.database, parts.store, parts.state_dir, parts.forget_in_copy)
        self.spools = SpoolKeeper(
            parts.queue,
            parts.database,
            settings.materials,
            is_short_refused=settings.filament_short == "reject",
        )
        self._public_key: str | None = None
        self._profiles: tuple[str, ...] = (parts.profile.name,)
        self._link: Link | None = None
        self._control: LinkControl | None = None

    async def open(self) -> None:
        """Open what is on disk and judge the times of waiting orders. Raises FabunitError.

        Call it before the pipeline starts: an order that is too late or too early must not be printed first.
        """
        await self._shelf.open()
        await self._times.keep()
        await self.spools.open()
        self._public_key = await self._sealing_key()
        parts = self._parts
        self._profiles = await asyncio.to_thread(
            offered_profiles, parts.profile.name, parts.formats, parts.profile_dirs
        )
        link, control = self._wire()
        await control.open()
        self._link, self._control = link, control

    async def run(self) -> None:
        """Keep the link until cancelled; see `Link.run`."""
        if self._link is None:
            raise RuntimeError("open() comes first")
        await self._link.run()

    def services(self) -> list[Service]:
        """Return the link and the download of ordered files; neither can hurt a print."""
        return [
            Service("coordinator", self.run, critical=False),
            Service("fetch", self.fetching.run, critical=False),
            Service("erase", self._erase, critical=False),
        ]

    async def _erase(self) -> None:
        version = -1
        while True:
            await self._eraser.sweep()
            version = await self._parts.queue.wait_changed(version)

    async def close(self) -> None:
        """Close what was opened."""
        await self._shelf.close()

    def status(self) -> dict[str, Any] | None:
        """Return the link for the status document."""
        return None if self._link is None else self._link.status().to_dict()

    def warnings(self) -> list[str]:
        """Return sentences about the link that a person should read."""
        if self._link is None or self._control is None:
            return []
        found = ["the coordinator asks which unit this is"] if self._control.is_identifying else []
        status = self._link.status()
        if status.problem:
            found.append(f"link: {status.problem}" + (f"; {status.remedy}" if status.remedy else ""))
        return found

    def checked(self, gate: Gate) -> Gate:
        """Return a gate that also holds ordered jobs to the limits of their order, and all to what is loaded."""

        async def check(job: Job, path: Path) -> Prepared:
            prepared = await gate(job, path)
            await self.orders.check_limits(job, prepared)
            return await self.spools.compare(job, prepared)

        return check

    def _broker_client(
        self, attempt: int, address: BrokerAddress, will: Message, post: Post
    ) -> NetworkClient:
        is_clock_set = self._settings.trust_clock or self._parts.clock.stamp().clk is not ClockState.UNSYNC
        return BrokerClient(attempt, address, self._credentials, will, post, is_clock_set=is_clock_set)

    def _fetcher(self) -> Fetcher:
        settings, parts = self._settings, self._parts
        rules = FetchRules(
            allowed=tuple(settings.allowed_hosts),
            max_bytes=parts.max_artefact_bytes,
            ca_file=str(settings.artefact_ca_file or ""),
        )
        folder = parts.state_dir / "fetching"
        return Fetcher(parts.store, folder, self.orders.artefact, rules, private_key=self._private_key)

    async def _sealing_key(self) -> str:
        """Return the public key that files are sealed to; kept, so that libsodium is loaded once in a unit's life."""
        path, database = self._parts.state_dir / SEAL_KEY, self._parts.database
        known = await database.read(lambda connection: meta.get(connection, _PUBLIC_KEY))
        if known is not None and path.is_file():
            return known
        from agent.coordinator import sealed_files  # noqa: PLC0415 - see above

        made = sealed_files.public_key(await asyncio.to_thread(self._private_key))
        await database.run(lambda connection: meta.put(connection, _PUBLIC_KEY, made))
        return made

    def _private_key(self) -> bytes:
        return load_or_create_key(self._parts.state_dir / SEAL_KEY)

    def _wire(self) -> tuple[Link, LinkControl]:
        settings, parts = self._settings, self._parts
        recorder = Recorder()
        reporter = Reporter(
            self._facts(),
            self._topics,
            parts.database,
            parts.clock,
            printer=parts.printer.snapshot,
            warnings=parts.warnings,
            free_bytes=lambda: free_bytes(parts.state_dir),
            recorder=recorder,
            version=lambda: parts.queue.version,
            host=parts.host,
            is_home_shown=settings.home_assistant,
        )
        link = Link(
            self._topics,
            settings.addresses,
            self._dial,
            queue=parts.queue,
            shelf=self._shelf,
            reporter=reporter,
        )
        control = LinkControl(link, self._shelf, recorder, parts.database)
        answers = Answers(parts.unit, parts.clock)
        verifier = Verifier(
            parse_trusted_keys(settings.trusted_keys), parts.unit, is_required=settings.require_signature
        )
        inbox = Inbox(
            parts.queue,
            parts.database,
            clock=parts.clock,
            answers=answers,
            verifier=verifier,
            abilities=self._abilities,
            acceptance=Acceptance(parse_hours(settings.accept, settings.accept_hours), parts.limits),
            coordinator_clock=self._time,
            undelivered=link.undelivered,
        )
        commands = Commands(
            Actions(parts.queue, inbox, parts.printer, control, parts.start_job),
            parts.database,
            clock=parts.clock,
            answers=answers,
            verifier=verifier,
            allowed=settings.allowed_commands,
            coordinator_clock=self._time,
        )
        link.reception = LinkReception(
            self._topics,
            link,
            inbox=inbox,
            commands=commands,
            times=self._times,
            shelf=self._shelf,
            answers=answers,
            clock=parts.clock,
            coordinator_clock=self._time,
        )
        return link, control

    def _facts(self) -> UnitFacts:
        settings, parts = self._settings, self._parts
        return UnitFacts(
            unit=parts.unit,
            name=parts.name,
            version=parts.version,
            profile=parts.profile,
            epoch=self._shelf.epoch,
            profiles=self._profiles,
            formats=parts.formats,
            capabilities=self._capabilities(),
            commands=tuple(sorted(settings.allowed_commands)),
            week=parse_hours(settings.accept, settings.accept_hours),
            max_jobs=parts.limits.max_jobs,
            max_artefact_bytes=parts.max_artefact_bytes,
            signature_required=settings.require_signature,
            public_key=self._public_key,
        )

    def _capabilities(self) -> tuple[str, ...]:
        parts = self._parts
        return capabilities(parts.profile, parts.formats, is_ejecting=parts.is_ejecting)

    async def _abilities(self, job_id: str) -> Abilities:
        parts = self._parts
        return Abilities(
            profile=parts.profile,
            materials=await self.spools.parts(besides=job_id),
            profiles=frozenset(self._profiles),
            formats=frozenset(parts.formats),
            capabilities=frozenset(self._capabilities()),
            max_artefact_bytes=parts.max_artefact_bytes,
        )
