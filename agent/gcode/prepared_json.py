"""`Prepared` and `PrinterProfile` as JSON: between the worker and the daemon, and in the database."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from agent.domain.artefact import Finding, Layer, Metadata, Prepared, Severity
from agent.domain.profile import HeaterLimits, PrinterProfile, Scripts

MAX_JSON_BYTES = 32 << 20  # 10 million lines give about 10,000 offsets and times, far below


def to_json(prepared: Prepared) -> str:
    """Return the compact JSON text of a gate result."""
    document = asdict(prepared)
    document["layers"] = [[layer.line, layer.z_mm] for layer in prepared.layers]
    document["times"] = [round(seconds, 2) for seconds in prepared.times]
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def from_json(text: str | bytes) -> Prepared:
    """Return the gate result of `to_json`. ValueError when the text is anything else."""
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"a gate result of {len(text)} bytes is too large")
    try:
        return prepared_from(json.loads(text))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a gate result: {error!r}") from error


def profile_to_json(profile: PrinterProfile) -> str:
    """Return the compact JSON text of a printer profile."""
    return json.dumps(asdict(profile), separators=(",", ":"), allow_nan=False)


def profile_from_json(text: str) -> PrinterProfile:
    """Return the profile of `profile_to_json`. ValueError when the text is anything else."""
    try:
        return _profile(json.loads(text))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a printer profile: {error!r}") from error


def prepared_from(document: dict[str, Any]) -> Prepared:
    """Return the gate result of a parsed `to_json`; ValueError, KeyError, TypeError or AttributeError otherwise."""
    _demand_keys(document, {field.name for field in fields(Prepared)})
    return Prepared(
        source_sha256=_text(document["source_sha256"]),
        profile_digest=_text(document["profile_digest"]),
        gate_version=_integer(document["gate_version"]),
        sha256=_text(document["sha256"]),
        lines=_integer(document["lines"]),
        size=_integer(document["size"]),
        offset_step=_integer(document["offset_step"]),
        offsets=tuple(_integer(offset) for offset in document["offsets"]),
        times=tuple(float(seconds) for seconds in document["times"]),
        layers=tuple(Layer(_integer(line), float(z_mm)) for line, z_mm in document["layers"]),
        metadata=Metadata(**document["metadata"]),
        findings=tuple(
            Finding(**{**finding, "severity": Severity(finding["severity"])})
            for finding in document["findings"]
        ),
        summary=dict(document["summary"]),
    )


def _profile(document: dict[str, Any]) -> PrinterProfile:
    _demand_keys(document, {field.name for field in fields(PrinterProfile)})
    values = dict(document)
    for heater in ("hotend", "bed", "chamber"):
        values[heater] = HeaterLimits(**document[heater]) if document[heater] else None
    values["scripts"] = Scripts(**{name: tuple(lines) for name, lines in document["scripts"].items()})
    for name in ("volume_mm", "park_mm", "bauds", "allow_commands"):
        values[name] = tuple(document[name])
    if document["reach_mm"] is not None:
        values["reach_mm"] = tuple(tuple(axis) for axis in document["reach_mm"])
    return PrinterProfile(**values)


def _demand_keys(document: dict[str, Any], wanted: set[str]) -> None:
    if set(document) != wanted:
        raise ValueError(f"wrong keys: {sorted(set(document) ^ wanted)[:5]}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _integer(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value
