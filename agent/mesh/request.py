"""What the worker is asked, as it crosses the pipe. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.mesh.limits import Limits, from_dict, to_dict

DEFAULT_MEMORY_BYTES = 1536 << 20  # of address space, of which numpy's libraries reserve some 200 MB unused
DEFAULT_CPU_S = 300.0


@dataclass(frozen=True, slots=True)
class Request:
    """One check. `name` is what the file was called; `unit` the maker's word, None if nothing was said.

    `report_dir`: where report.json, pictures and page go, None for none. `repair_to`: where a repaired mesh goes.
    `parent`: the process with which the check ends, 0 for none; the one that asks sets it.
    """

    source: Path
    name: str
    limits: Limits
    unit: str | None = None
    report_dir: Path | None = None
    is_oriented: bool = False
    repair_to: Path | None = None
    fills_holes: bool = False
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cpu_s: float = DEFAULT_CPU_S
    parent: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the request as JSON."""
        document = asdict(self)
        document["limits"] = to_dict(self.limits)
        for key in ("source", "report_dir", "repair_to"):
            document[key] = None if document[key] is None else str(document[key])
        return document

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Request:
        """Return the request of `to_dict`."""
        values = dict(document)
        values["limits"] = from_dict(document["limits"])
        values["source"] = Path(document["source"])
        for key in ("report_dir", "repair_to"):
            values[key] = None if document[key] is None else Path(document[key])
        return cls(**values)


def memory_limit_bytes(physical_bytes: int | None) -> int:
    """Return the address space for a check on a machine with this much memory: three quarters, within bounds."""
    if physical_bytes is None:
        return DEFAULT_MEMORY_BYTES
    return max(480 << 20, min(DEFAULT_MEMORY_BYTES, physical_bytes * 3 // 4))
