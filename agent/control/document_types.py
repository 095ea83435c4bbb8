"""The shapes of the control API's JSON documents.

`docs/control-api.md` is the reader's version of this file. The CLI sees these shapes as plain dictionaries.
Fields are only ever added; a reader ignores what it does not know.
"""

from __future__ import annotations

from typing import Any, TypedDict


class TemperatureDocument(TypedDict):
    """One heater in degrees Celsius; `power` 0..1 or null where the firmware does not tell."""

    actual: float
    target: float
    power: float | None


class FirmwareDocument(TypedDict):
    """What the firmware said about itself."""

    name: str
    machine: str
    uuid: str
    fields: dict[str, str]
    capabilities: dict[str, bool]


class PromptDocument(TypedDict):
    """A question of the firmware; choice n (from 0) is `choices[n]`."""

    text: str
    choices: list[str]


class HealthDocument(TypedDict):
    """Quality of the line to the printer since the port was opened; latencies in milliseconds."""

    lines_sent: int
    lines_acked: int
    resends: int
    timeouts: int
    garbled: int
    ok_p50_ms: float
    ok_p99_ms: float
    reconnects: int


class ProgressDocument(TypedDict):
    """The running print; times in seconds, `fraction` 0..1."""

    print_id: str
    line: int
    lines: int
    byte: int
    bytes: int
    layer: int | None
    layers: int | None
    z_mm: float | None
    elapsed_s: float
    remaining_s: float | None
    fraction: float
    plus_minus_s: float | None


class PrinterDocument(TypedDict):
    """One consistent view of the printer; heaters keyed `T0`, `T1`, `B`, `C`."""

    state: str
    detail: str
    port: str
    port_id: str
    baud: int
    dialect: str
    firmware: FirmwareDocument | None
    temperatures: dict[str, TemperatureDocument]
    position: dict[str, float]
    fan: float | None
    prompt: PromptDocument | None
    message: str
    health: HealthDocument
    progress: ProgressDocument | None


class JobDocument(TypedDict):
    """One job; times are Unix milliseconds, `position` orders the queue."""

    job_id: str
    rev: int
    state: str
    name: str
    artefact_sha256: str
    artefact_format: str
    artefact_size: int
    copies: int
    copies_done: int
    position: float
    priority: int
    source: str
    material: str | None
    quality: str | None
    reason: str | None
    detail: str
    held_from: str | None
    attempt: int
    created_ms: int
    updated_ms: int
    prepared_sha256: str | None
    profile_digest: str | None
    estimate_s: float | None
    filament_mm: float | None
    layers: int | None


class MeshDocument(TypedDict):
    """What became of a job's mesh: the check's verdict and with what it was sliced; null before."""

    check: dict[str, Any] | None
    slice: dict[str, Any] | None


class JobDetailsDocument(JobDocument, total=False):
    """One job with everything known of it; `mesh` only where the job's file is one."""

    mesh: MeshDocument


class PrintDocument(TypedDict):
    """One attempt at one copy; times are Unix milliseconds."""

    print_id: str
    job_id: str
    copy: int
    state: str
    prepared_sha256: str
    lines: int
    base: int
    port_id: str
    reason: str | None
    detail: str
    started_ms: int
    ended_ms: int | None
    has_receipt: bool


class EventDocument(TypedDict):
    """One durable record; order is (epoch, seq)."""

    epoch: str
    seq: int
    type: str
    job_id: str | None
    rev: int | None
    print_id: str | None
    state: str | None
    reason: str | None
    detail: str
    t_ms: int
    mono_ms: int
    boot: str
    clk: str
    data: dict[str, Any]


class TranscriptDocument(TypedDict):
    """One console line; `direction` is sent, received or note."""

    t_ms: int
    direction: str
    text: str


class UnitDocument(TypedDict):
    """Who answers."""

    id: str
    name: str
    version: str
    pid: int
    uptime_s: float


class QueueDocument(TypedDict):
    """Jobs by state, and the first of those that are not over, in queue order (at most `QUEUE_SHOWN`)."""

    counts: dict[str, int]
    jobs: list[JobDocument]
    total: int


class PreparingDocument(TypedDict):
    """The mesh that is worked on: job, `checking` or `slicing`, the step of the check, and how far it is (0..1)."""

    job_id: str
    state: str
    step: str
    fraction: float


class _StatusRequired(TypedDict):
    unit: UnitDocument
    printer: PrinterDocument
    job: JobDocument | None
    queue: QueueDocument
    bed: str
    link: dict[str, Any] | None
    host: dict[str, Any] | None
    warnings: list[str]
    t_ms: int


class StatusDocument(_StatusRequired, total=False):
    """Everything at a glance.

    `samples` (heater → [[age_s, actual, target], …]) comes only in the stream, first and then every few seconds;
    `preparing` only while a mesh is checked or sliced.
    """

    preparing: PreparingDocument
    samples: dict[str, list[list[float]]]
