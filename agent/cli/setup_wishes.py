"""The options of `fabunit setup` as one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line said; None is asked for, or found out."""

    port: str | None
    baud: int | None
    profile: str | None
    volume: str | None
    nozzle_mm: float
    max_nozzle: float
    max_bed: float
    unit: str | None
    name: str | None
    join: str | None
    plaintext: bool
    no_test: bool
    no_start: bool
    replace: bool
    yes: bool
