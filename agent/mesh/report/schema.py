"""The shape of a report, for those who read it: `docs/printability.schema.json` is made from these models.

`python -m agent.mesh.report.schema FILE` writes it; a test fails while the published file is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Point = tuple[float, float, float]
SeverityWord = Literal["info", "warning", "error"]


class _Document(BaseModel):
    """Fields that are not described here may come with a later version: readers overlook them."""

    model_config = ConfigDict(extra="allow")


class PlaceDocument(_Document):
    """Where: in the model's coordinates, in mm."""

    at_mm: Point = Field(description="the point to look at")
    low_mm: Point = Field(description="lowest corner of the box around the trouble")
    high_mm: Point = Field(description="highest corner of that box")
    faces: list[int] = Field(description="up to 20 faces there, counted from 0 in the order of the file")
    value: float | None = Field(description="what was measured at that point; null where it has no measure")


class FindingDocument(_Document):
    """One thing a check has to say."""

    id: str = Field(description="stable name, for example wall.thin")
    severity: SeverityWord
    message: str = Field(description="for people, in English")
    remedy: str = Field(description="what would help")
    measured: float | None
    limit: float | None = Field(description="the threshold that was passed")
    unit: str = Field(description="of measured and limit")
    count: int | None
    area_mm2: float | None
    share: float | None = Field(description="of the surface, 0 to 1")
    samples: int | None = Field(
        description="number of rays behind the figure; null when every face was looked at"
    )
    places: list[PlaceDocument] = Field(description="up to 5, the most important first")


class CheckDocument(_Document):
    """That a check ran, and how it ended."""

    id: str
    status: Literal["done", "sampled", "skipped", "failed"]
    detail: str


class FileDocument(_Document):
    """Which file."""

    sha256: str
    size_bytes: int
    format: str = Field(
        description="stl, stl-ascii, 3mf, obj, ply, off, amf, step; empty when not recognised"
    )


class RunDocument(_Document):
    """What differs from run to run."""

    name: str
    cpu_s: dict[str, float] = Field(description="processor seconds of each step")
    peak_memory_bytes: int
    versions: dict[str, str]
    files: list[str] = Field(description="what was written")


class ReportDocument(_Document):
    """A report. Without `run` it is the same, byte for byte, for the same file, limits and checker version."""

    schema_: int = Field(alias="schema", description="version of this description")
    checker: int = Field(description="version of the answers")
    file: FileDocument
    limits: dict[str, Any] = Field(description="every threshold that was used")
    limits_digest: str = Field(description="SHA-256 over the limits")
    verdict: Literal["printable", "printable_with_warnings", "not_printable", "undetermined"]
    counts: dict[SeverityWord, int]
    findings: list[FindingDocument] = Field(description="the worst first")
    checks: list[CheckDocument]
    mesh: dict[str, Any] | None = Field(description="facts of the mesh in mm; null when it could not be read")
    estimate: dict[str, Any] | None = Field(description="material, mass, time range, supports")
    orientation: dict[str, Any] | None = Field(description="the search for a better pose, with --orient")
    repair: dict[str, Any] | None = Field(
        description="repairs that are proposed, and with --repair what was done"
    )
    run: RunDocument | None = None


def render() -> str:
    """Return the JSON schema as text."""
    return json.dumps(ReportDocument.model_json_schema(by_alias=True), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
