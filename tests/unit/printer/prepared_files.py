"""Prepared files as the gate makes them, without the gate."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from agent.domain.artefact import Layer, Metadata, Prepared
from agent.domain.printer import FirmwareInfo
from agent.domain.profile import HeaterLimits, PrinterProfile
from agent.printer.dialects import MARLIN_2, Dialect
from agent.printer.handshake import Answered


def prepared_of(
    lines: list[bytes],
    step: int = 10,
    times: tuple[float, ...] = (),
    estimate_s: float | None = None,
    layers: tuple[Layer, ...] = (),
) -> Prepared:
    """What the gate would say about these lines."""
    data = b"".join(line + b"\n" for line in lines)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    return Prepared(
        source_sha256="source",
        profile_digest="profile",
        gate_version=1,
        sha256=hashlib.sha256(data).hexdigest(),
        lines=len(lines),
        size=len(data),
        offset_step=step,
        offsets=tuple(offsets[: len(lines) : step]),
        times=times,
        layers=layers,
        metadata=Metadata(estimate_s=estimate_s),
        findings=(),
    )


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def profile(**changes: Any) -> PrinterProfile:
    """A plain printer with a bed."""
    values: dict[str, Any] = {
        "name": "rig",
        "title": "Rig",
        "digest": "d",
        "volume_mm": (220.0, 220.0, 250.0),
        "nozzle_mm": 0.4,
        "extruders": 1,
        "hotend": HeaterLimits(260.0),
        "bed": HeaterLimits(110.0),
        "chamber": None,
        "park_mm": (10.0, 200.0),
    }
    return PrinterProfile(**{**values, **changes})


def answered(
    last_line: int | None = 0, dialect: Dialect = MARLIN_2, restarted: bool = False, **capabilities: bool
) -> Answered:
    """A handshake's result."""
    firmware = FirmwareInfo(name="Marlin", capabilities=capabilities)
    return Answered(dialect=dialect, firmware=firmware, restarted=restarted, last_line=last_line)
