"""Artefacts: files known by their SHA-256, and what the gate made of a G-code file."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is: an `error` keeps the file from printing."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the gate or a check has to say: stable id, line number (1-based, 0 = whole file), remedy."""

    id: str
    severity: Severity
    line: int
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer starts at prepared line `line` (1-based) with height `z_mm`."""

    line: int
    z_mm: float


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the slicer wrote about the file. Times in seconds, filament in mm and g."""

    slicer: str = ""
    estimate_s: float | None = None
    filament_mm: float | None = None
    filament_g: float | None = None
    layer_height_mm: float | None = None
    material: str = ""
    printer: str = ""
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of the gate: exactly the lines that will be streamed, bound to source and profile.

    `sha256` is over the bytes of the prepared file: one command per line, `\\n` ends, no comments.
    `offsets[k]` is the byte offset of prepared line `k * offset_step + 1`.
    `times[k]` is the estimated print time in seconds up to that line, scaled so that the end is `estimate_s`.
    """

    source_sha256: str
    profile_digest: str
    gate_version: int
    sha256: str
    lines: int
    size: int
    offset_step: int
    offsets: tuple[int, ...]
    times: tuple[float, ...]
    layers: tuple[Layer, ...]
    metadata: Metadata
    findings: tuple[Finding, ...]
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def is_printable(self) -> bool:
        """No finding forbids printing."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)
