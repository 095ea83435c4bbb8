"""What the control API needs from the rest of the daemon; the composition root fills it in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agent.domain.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from agent.domain.events import Event
    from agent.domain.job import Job, Reason
    from agent.domain.printer import PrinterSnapshot, Sample, TranscriptEntry
    from agent.domain.prints import PrintRecord
    from agent.jobs.placement import Place
    from agent.jobs.stages.mesh import Preparing
    from agent.storage.meshes import MeshRow

# A day of fast printing as text G-code stays under 500 MB; a bigger upload is a mistake or an attack.
MAX_UPLOAD_BYTES = 1 << 30


class Picture(Protocol):
    """A picture of a part: `image/png` or `image/jpeg`, and its bytes."""

    @property
    def media_type(self) -> str:
        """Return the type."""
        ...

    @property
    def data(self) -> bytes:
        """Return the bytes."""
        ...


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A local order as it came through the API, already checked for shape.

    `expected_bytes`, where the client told, allows to refuse before the first byte.
    """

    name: str
    copies: int = 1
    hold: bool = False
    material: str | None = None
    quality: str | None = None
    priority: int = 0
    expected_bytes: int | None = None


class JobIntake(Protocol):
    """Takes a file and makes it a job."""

    async def submit(self, request: JobRequest, chunks: AsyncIterator[bytes]) -> Job:
        """Store the bytes with constant memory and queue the job; durable when it returns.

        Raises ArtefactError (a file that cannot be an artefact), StorageError, RefusedError (queue full).
        """
        ...


class QueueControl(Protocol):
    """The durable queue. Raises NotFoundError for an unknown id, RefusedError for a wrong state."""

    async def list(self, *, include_over: bool) -> Sequence[Job]:
        """List jobs in queue order; with `include_over` also those that are over, after the others."""
        ...

    async def get(self, job_id: str) -> Job:
        """Return one job."""
        ...

    async def hold(self, job_id: str) -> Job:
        """Keep the job from printing until released."""
        ...

    async def release(self, job_id: str) -> Job:
        """Let a held job go on."""
        ...

    async def cancel(self, job_id: str) -> Job:
        """End the job; one that prints is cancelled at the printer."""
        ...

    async def retry(self, job_id: str) -> Job:
        """Start a job that is over again."""
        ...

    async def move(self, job_id: str, place: Place) -> Job:
        """Change the order of the queue."""
        ...

    async def bed(self) -> str:
        """`clear` or `occupied`."""
        ...

    async def clear_bed(self) -> str:
        """Record that a person cleared the bed; returns the new state."""
        ...

    async def prints(self, *, limit: int) -> Sequence[PrintRecord]:
        """List prints, newest first."""
        ...

    async def get_print(self, print_id: str) -> PrintRecord:
        """Return one print."""
        ...

    async def events_after(self, seq: int, *, limit: int) -> Sequence[Event]:
        """List durable records with a greater sequence number, in order."""
        ...

    async def newest_event(self) -> int:
        """Return the sequence number of the newest record, 0 without any."""
        ...


class PrinterControl(Protocol):
    """The printer as people command it. Raises RefusedError with the reason, PortError when it is away."""

    def snapshot(self) -> PrinterSnapshot:
        """Return the newest view; never blocks."""
        ...

    async def stop(self) -> None:
        """Emergency stop: heaters and motors off now."""
        ...

    async def pause(self) -> None:
        """Pause the running print."""
        ...

    async def resume(self) -> None:
        """Go on with a paused print."""
        ...

    async def cancel(self, reason: Reason) -> None:
        """End the running print in order."""
        ...

    async def connect(self, port: str | None) -> None:
        """Open the port (None: the configured one)."""
        ...

    async def disconnect(self) -> None:
        """Close the port and stay away."""
        ...

    async def home(self, axes: str) -> None:
        """Home the axes, e.g. "XY"; "" is all."""
        ...

    async def heat(self, heater: str, celsius: float) -> None:
        """Set the target of one heater."""
        ...

    async def cool(self) -> None:
        """All heaters off."""
        ...

    async def answer_prompt(self, choice: int) -> None:
        """Answer the firmware's question with choice n, from 0."""
        ...

    async def command(self, line: str) -> Sequence[str]:
        """One line of G-code under the safety rules; the reply lines."""
        ...

    def transcript_tail(self, n: int) -> Sequence[TranscriptEntry]:
        """Return the last n console lines."""
        ...

    def subscribe(self) -> AsyncIterator[TranscriptEntry]:
        """Iterate over console lines as they happen."""
        ...

    def samples(self) -> Sequence[Sample]:
        """Return the last minutes of 1 Hz telemetry, oldest first."""
        ...


class LogSource(Protocol):
    """The newest log entries in memory; each has `seq`, `t_ms`, `level`, `event` and its own fields."""

    def tail(self, n: int) -> Sequence[Mapping[str, Any]]:
        """Return the last n entries, oldest first."""
        ...

    def after(self, seq: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return entries newer than `seq`, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class UnitIdentity:
    """Who this daemon is; `started_s` is on the monotonic clock."""

    unit_id: str
    name: str
    version: str
    pid: int
    started_s: float


def _no_warnings() -> Sequence[str]:
    return ()


def _no_link() -> dict[str, Any] | None:
    return None


def _no_test() -> None:
    return


async def _no_proposal(job_id: str) -> dict[str, Any]:
    raise NotFoundError(f"job {job_id}: there is nothing to salvage", code="no_salvage")


async def _no_mesh(_: Job) -> MeshRow | None:
    return None


def _idle() -> Preparing | None:
    return None


async def _not_noted() -> None:
    return


async def _no_picture(job_id: str) -> Picture | None:
    raise NotFoundError(f"job {job_id} has no picture", code="no_picture")


async def _no_salvage(job_id: str, layer: int | None) -> Job:
    raise NotFoundError(f"job {job_id}: there is nothing to salvage in layer {layer}", code="no_salvage")


async def no_spools() -> Sequence[dict[str, Any]]:
    """A stand-alone unit does not know what is loaded."""
    return ()


async def no_slot(slot: str, left_g: float) -> dict[str, Any]:
    """A stand-alone unit does not know what is loaded. Raises NotFoundError."""
    raise NotFoundError(
        f"nothing is said to be loaded in {slot!r}, so {left_g:g} g of it cannot be",
        code="no_slot",
        remedy="`materials` in [coordinator] says what is loaded",
    )


@dataclass(frozen=True, slots=True)
class UnitFacade:
    """Everything the control API may touch; built by the composition root."""

    identity: UnitIdentity
    queue: QueueControl
    intake: JobIntake
    printer: PrinterControl
    logs: LogSource
    start_job: Callable[[str], Awaitable[Job]]
    """Have a ready job printed next, also where the queue does not start by itself. Raises RefusedError."""
    salvage_proposal: Callable[[str], Awaitable[dict[str, Any]]] = _no_proposal
    """How a print whose board was reset could go on. Raises NotFoundError."""
    salvage_job: Callable[[str, int | None], Awaitable[Job]] = _no_salvage
    """Have it go on, in the proposed place or at the beginning of a layer. Raises RefusedError."""
    note_moved: Callable[[], Awaitable[None]] = _not_noted
    """Awaited before a person moves the machine directly: a print can no longer go on where it stopped."""
    mesh_of: Callable[[Job], Awaitable[MeshRow | None]] = _no_mesh
    """What is on record about the mesh of a job; None where its file is none."""
    preparing: Callable[[], Preparing | None] = _idle
    """The mesh that is checked or sliced right now."""
    configured_port: str = "auto"
    is_auto_start: bool = True
    warnings: Callable[[], Sequence[str]] = field(default=_no_warnings)
    link: Callable[[], dict[str, Any] | None] = field(default=_no_link)
    host: Callable[[], dict[str, Any] | None] = field(default=_no_link)
    """How the machine is (`agent.ops.host`), None before the first look."""
    picture: Callable[[str], Awaitable[Picture | None]] = _no_picture
    """A picture of the job's part, None where there is none. Raises NotFoundError."""
    metrics: Callable[[Mapping[str, Any]], bytes] | None = None
    """Writes a status document as figures for Prometheus; None where they are off."""
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    learned: Callable[[], dict[str, Any] | None] = field(default=_no_link)
    """What was learned about the printer: `stop`, `window`, `slots`, `losses`; None before the first connection."""
    spools: Callable[[], Awaitable[Sequence[dict[str, Any]]]] = no_spools
    """What is loaded: `slot`, `material`, `color`, `brand`, `left_g`."""
    refill: Callable[[str, float], Awaitable[dict[str, Any]]] = no_slot
    """Take a person's word for the grams in a slot. Raises NotFoundError."""
    want_stop_test: Callable[[], None] = field(default=_no_test)
    """Have the stop path tested when the printer connects next."""
