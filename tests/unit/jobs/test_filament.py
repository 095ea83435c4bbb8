"""The filament of a print and of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.artefact import Metadata, Prepared
from agent.jobs.filament import filament_mm


def file_of(prepared: Callable[..., Prepared], **changes: Any) -> Prepared:
    return replace(prepared("a" * 64), lines=100, offset_step=50, offsets=(0, 1), **changes)


def test_a_part_counts_by_its_share_of_the_time(prepared: Callable[..., Prepared]) -> None:
    # The first half of the lines takes a quarter of the time.
    made = file_of(
        prepared,
        times=(0.0, 25.0),
        metadata=Metadata(estimate_s=100.0),
        summary={"analysis": {"filament_mm": {"T0": 1000.0, "T1": 40.0}}},
    )
    assert filament_mm(made) == {"T0": 1000.0, "T1": 40.0}
    assert filament_mm(made, 0, 50) == {"T0": pytest.approx(250.0), "T1": pytest.approx(10.0)}
    assert filament_mm(made, 50) == {"T0": pytest.approx(750.0), "T1": pytest.approx(30.0)}
    assert filament_mm(made, 0, 0) == filament_mm(made, 60, 50) == {}


def test_without_times_lines_count_and_without_an_analysis_what_the_slicer_said(
    prepared: Callable[..., Prepared],
) -> None:
    made = file_of(prepared, times=(), metadata=Metadata(filament_mm=200.0))
    assert filament_mm(made, 0, 25) == {"T0": 50.0}
    assert filament_mm(file_of(prepared, metadata=Metadata())) == {}
