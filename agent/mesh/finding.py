"""What a check has to say: how bad, how much of what, where, and what would help. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.domain.artefact import Severity

MAX_PLACES = 5  # per finding; more places do not help a person, the page paints all faces
MAX_FACES = 20  # face numbers per place, in the order of the file
_DECIMALS = 4  # 0.1 µm: below what any of the measures means

Vector = tuple[float, float, float]


class CheckStatus(StrEnum):
    """How a check ended. `failed` and `skipped` leave the verdict open."""

    DONE = "done"
    SAMPLED = "sampled"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where, in the coordinates of the model in mm: a point, the box around it, faces (0-based, file order)."""

    at_mm: Vector
    low_mm: Vector
    high_mm: Vector
    faces: tuple[int, ...] = ()
    value: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the place as JSON, rounded to 0.1 µm."""
        return {
            "at_mm": _rounded(self.at_mm),
            "low_mm": _rounded(self.low_mm),
            "high_mm": _rounded(self.high_mm),
            "faces": list(self.faces[:MAX_FACES]),
            "value": None if self.value is None else round(self.value, _DECIMALS),
        }


@dataclass(frozen=True, slots=True)
class MeshFinding:
    """One finding of one check.

    `measured` against `limit` in `unit`; `count` of things, `area_mm2` and its `share` of the surface (0 to 1) where
    they mean something; `samples` when the figure comes from rays and not from every face.
    """

    id: str
    severity: Severity
    message: str
    remedy: str = ""
    measured: float | None = None
    limit: float | None = None
    unit: str = ""
    count: int | None = None
    area_mm2: float | None = None
    share: float | None = None
    samples: int | None = None
    places: tuple[Place, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON: every field present, figures rounded."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "message": self.message,
            "remedy": self.remedy,
            "measured": _round(self.measured),
            "limit": _round(self.limit),
            "unit": self.unit,
            "count": self.count,
            "area_mm2": _round(self.area_mm2),
            "share": None if self.share is None else round(self.share, 6),
            "samples": self.samples,
            "places": [place.to_dict() for place in self.places[:MAX_PLACES]],
        }


@dataclass(frozen=True, slots=True)
class CheckRun:
    """That a check ran, how it ended and, where it did not look at everything, why."""

    id: str
    status: CheckStatus
    detail: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the run as JSON."""
        return {"id": self.id, "status": self.status.value, "detail": self.detail}


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DECIMALS)


def _rounded(vector: Vector) -> list[float]:
    # + 0.0 turns a negative zero into zero: the same report for the same part.
    return [round(float(part), _DECIMALS) + 0.0 for part in vector]
